"""Sentences of `embedded:questions`: how facts are told and asked for, and what is said between them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One kind of fact: `told` has {} where its value stands."""

    told: tuple[str, ...]
    asked: tuple[str, ...]


@dataclass(frozen=True)
class Sentences:
    """What paragraphs of one language are made of.

    Attributes:
        locale: Babel's name of the language.
        facts: the five kinds: date, territory, language, amount of money, measure.
        filler: sentences with {noun} and {quality}.
        nouns, qualities: words for them.
        space: between two sentences.
    """

    locale: str
    facts: tuple[Fact, ...]
    filler: tuple[str, ...]
    nouns: tuple[str, ...]
    qualities: tuple[str, ...]
    space: str


ENGLISH = Sentences(
    locale="en",
    facts=(
        Fact(
            ("The society was founded on {}.", "On {} ten friends founded the society.", "Its founding day is {}."),
            ("When was the society founded?", "On which day did ten friends found it?", "What is its founding day?"),
        ),
        Fact(
            ("Its main office is in {}.", "Letters go to the main office in {}.", "In {} it keeps its main office."),
            ("Where is the main office?", "In which country is its main office?", "Where do letters go?"),
        ),
        Fact(
            ("At meetings everybody speaks {}.", "Its members speak {} at meetings.", "The minutes are kept in {}."),
            ("What is spoken at meetings?", "Which language do the members speak?", "In what are the minutes kept?"),
        ),
        Fact(
            ("Members pay {} a year.", "The yearly fee is {}.", "For a year in the society {} are due."),
            ("How much do members pay?", "What is the yearly fee?", "How much is due for a year?"),
        ),
        Fact(
            ("Its machine is rated at {}.", "The plate on the machine says {}.", "The machine was made for {}."),
            ("What is the machine rated at?", "What does the plate on the machine say?", "What was it made for?"),
        ),
    ),
    filler=(
        "The {noun} is {quality} this season.",
        "Nobody remembers why the {noun} became {quality}.",
        "Some say that a {quality} {noun} brings luck.",
        "There was a long talk about the {noun}, which many find {quality}.",
        "After supper they look at the {quality} {noun} again.",
        "A {noun} like this one is rarely {quality}.",
        "The newest {noun} looks {quality} from the street.",
        "Visitors often ask about the {quality} {noun}.",
        "In the evening the {noun} seems even more {quality}.",
        "It took weeks to find a {noun} that was not {quality}.",
    ),
    nouns=(
        "garden", "kitchen", "roof", "library", "piano", "bridge", "lamp", "orchard", "window", "staircase", "carpet",
        "clock", "boat", "wall", "stove", "painting",
    ),
    qualities=(
        "quiet", "bright", "narrow", "old", "green", "crooked", "splendid", "plain", "heavy", "warm", "dusty", "round",
        "modest", "famous", "empty", "blue",
    ),
    space=" ",
)  # fmt: skip

CHINESE = Sentences(
    locale="zh_Hans",
    facts=(
        Fact(
            ("协会成立于{}。", "{}，十位朋友创办了协会。", "成立纪念日是{}。"),
            ("协会是什么时候成立的？", "朋友们在哪一天创办了协会？", "成立纪念日是哪一天？"),
        ),
        Fact(
            ("总部设在{}。", "信件寄往{}的总部。", "它的总部一直留在{}。"),
            ("总部设在哪里？", "总部在哪个国家或地区？", "信件寄往哪里？"),
        ),
        Fact(
            ("开会时大家都说{}。", "会员们用{}交谈。", "会议记录用{}写成。"),
            ("开会时大家说什么语言？", "会员们用哪种语言交谈？", "会议记录用什么语言写成？"),
        ),
        Fact(
            ("会员每年缴纳{}。", "年费是{}。", "入会一年要付{}。"),
            ("会员每年缴纳多少钱？", "年费是多少？", "入会一年要付多少？"),
        ),
        Fact(
            ("最大的机器额定为{}。", "机器的铭牌上写着{}。", "这台机器按{}设计。"),
            ("最大的机器额定为多少？", "机器的铭牌上写着什么？", "这台机器按多少设计？"),
        ),
    ),
    filler=(
        "这个季节{noun}很{quality}。",
        "没有人记得{noun}为什么变得{quality}。",
        "有人说{quality}的{noun}会带来好运。",
        "大家谈了很久{noun}，很多人觉得它{quality}。",
        "晚饭后他们又去看{quality}的{noun}。",
        "这样的{noun}很少{quality}。",
        "新的{noun}从街上看去很{quality}。",
        "客人们常常问起那{quality}的{noun}。",
        "到了晚上{noun}显得更加{quality}。",
        "花了几个星期才找到一个不{quality}的{noun}。",
    ),
    nouns=(
        "花园", "厨房", "屋顶", "图书室", "钢琴", "小桥", "灯笼", "果园", "窗户", "楼梯", "地毯", "时钟", "小船",
        "围墙", "炉子", "油画",
    ),
    qualities=(
        "安静", "明亮", "狭窄", "古老", "漂亮", "歪斜", "华丽", "朴素", "沉重", "温暖", "陈旧", "圆润", "谦逊", "有名",
        "空荡", "干净",
    ),
    space="",
)  # fmt: skip
