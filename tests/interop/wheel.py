"""Writes the wheel of an empty package into the folder given."""

import sys
import zipfile

with zipfile.ZipFile(f"{sys.argv[1]}/hallpass_demo-1.0-py3-none-any.whl", "w") as wheel:
    info = "hallpass_demo-1.0.dist-info"
    wheel.writestr("hallpass_demo.py", "")
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hallpass-demo\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", f"hallpass_demo.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
