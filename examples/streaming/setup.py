"""The compiled half of the package. Neither headers nor libraries of cgru are needed: its functions come by name."""

from Cython.Build import cythonize
from setuptools import setup

setup(ext_modules=cythonize("whistles/listener.pyx", language_level=3))
