"""corpusvec as an installable package: it travels to workers as an sdist too."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="corpusvec",
    version="0.1.0",
    description="Batch feature extraction for text: token and sentence vectors in Parquet, by Apache Beam",
    long_description=Path(__file__).with_name("README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["pipeline", "transforms", "transforms.*"]),
    install_requires=[
        "apache-beam>=2.70,<3",
        "ijson>=3.3,<4",
        "numpy>=1.26,<3",
        "pyarrow>=18,<27",
        "safetensors>=0.4.5,<1",
        "sentencepiece>=0.2.1,<0.3",
        "tensorflow>=2.18,<3",
        "tokenizers>=0.21,<1",
        "zstandard>=0.22,<1",
    ],
    extras_require={
        "dev": ["duckdb", "hypothesis", "mypy", "pandas", "polars", "pytest", "pytest-timeout", "ruff"],
    },
    entry_points={"console_scripts": ["corpusvec = pipeline.cli:main"]},
)
