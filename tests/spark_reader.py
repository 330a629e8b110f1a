"""Tables as Spark reads them.

Run by a Python that has pyspark, as `spark_reader.py FOLDER…`: prints a line of JSON for each
folder, its columns with their values, or why it cannot be read.
"""

from __future__ import annotations

import json
import sys

from pyspark.sql import SparkSession
from pyspark.sql.functions import get_json_object


def read(spark: SparkSession, folder: str) -> dict:
    frame = spark.read.parquet(folder)
    if "metadata" in frame.columns:
        frame = frame.withColumn("title", get_json_object("metadata", "$.title"))
    rows = [row.asDict() for row in frame.collect()]
    return {name: [row[name] for row in rows] for name in frame.columns}


def main(folders: list[str]) -> None:
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    for folder in folders:
        try:
            print(json.dumps(read(spark, folder)))
        except Exception as error:
            print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main(sys.argv[1:])
