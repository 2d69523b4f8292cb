"""What is expected of a business, in the words of its readers."""

import re
from functools import cache

from reconcile.report.messages import Language, compiled, translated

# What is expected of every business (reconcile.expected), in English as it is said there, and in Chinese.
EXPECTATIONS: dict[str, str] = {
    "There is a summary": "有汇总数据",
    "Each site has one summary a day": "每个站点每天只有一条汇总",
    "Each summary is of a day": "每条汇总都属于某一天",
    "Coverage reaches the target": "完整率达到目标",
    "Nothing critical is open": "没有未解决的严重问题",
    "Every row could be read": "每一行都能读取",
    "Every row of the extracts was read or set aside": "抽取的每一行都已读取或隔离",
    "Every call is complete, partial, missing or excluded": "每通通话都属于完整、部分、缺失或无需录音之一",
    "Every recording on the source disk is in a snapshot": "源磁盘上的每份录音都在快照中",
    "Every recording in a snapshot is on the central disk": "快照中的每份录音都在中心磁盘上",
    "Every recording on the central disk is in the object store": "中心磁盘上的每份录音都在对象存储中",
    "No count is negative: {}": "计数不为负：{}",
    "Few recordings are of no call": "无主录音很少",
    "There are as many recordings as on this weekday before": "录音数量与往常同一星期日相当",
    "Recordings are as large as usual": "录音大小与平时相当",
    "The extract of {} has as many rows as usual": "{} 的抽取行数与平时相当",
    "Every recording is of a kind that is expected: {}": "每份录音都属于预期的类型：{}",
}


def expectation(description: str, language: Language) -> str:
    """What an expectation says, in this language; one that somebody wrote in the settings stays as it is."""
    return description if language == "en" else translated(description, _patterns())


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    return compiled(EXPECTATIONS)
