"""MCMSH on N-MNIST event video, shipped with jhash."""

from jhash.config import experiment


def get_config():
    config = experiment("mcmsh", "nmnist")
    config.hyper.bits = 64
    config.hyper.centres = 250
    config.hyper.batch = 128
    config.hyper.steps = 20
    return config
