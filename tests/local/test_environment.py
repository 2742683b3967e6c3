from __future__ import annotations

from squall.local.environment import of_runners


def test_runners_see_what_processes_need_and_no_secret() -> None:
    needed = {
        "PATH": "/bin",
        "HOME": "/home/a",
        "LC_ALL": "C",
        "LD_LIBRARY_PATH": "/lib",
        "PYTHONPATH": "x",
        "TZ": "UTC",
    }
    kept_back = {
        "NFT_PASSWORD": "hunter2",
        "BASE_URL": "http://a",
        "HOMEPAGE": "b",
        "AWS_SECRET_ACCESS_KEY": "c",
    }
    assert of_runners(needed | kept_back) == needed
