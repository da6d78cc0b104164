"""Chinese text without spaces: the right turn among many that share its characters."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tierkeep import Memory

#: (what was told, a question that it answers).
TOLD = [
    ("我妹妹小琳在成都开了一家花店。", "我妹妹的花店开在哪个城市？"),
    ("我对花生过敏，吃了会起疹子。", "我对什么东西过敏？"),
    ("上周六我带豆豆去宠物医院打了疫苗。", "豆豆什么时候打的疫苗？"),
    ("我的车牌号是京A八八六六，别记错了。", "我的车牌号是多少？"),
    ("昨天我在二手市场买了一台老式打字机。", "我在二手市场买了什么？"),
    ("我最喜欢的作家是汪曾祺，他写吃的特别好。", "我最喜欢哪位作家？"),
    ("公司下个月要搬到滨江的新大楼。", "公司要搬到哪里去？"),
    ("我爷爷以前是开火车的，跑的是陇海线。", "我爷爷以前是做什么工作的？"),
    ("周三晚上我固定去学吹萨克斯。", "我周三晚上去学什么？"),
    ("我把备用钥匙放在门口的花盆底下。", "备用钥匙放在哪里？"),
    ("我们家的无线网络密码改成了橘子加四个零。", "家里的网络密码是什么？"),
    ("医生说我有点贫血，要多吃猪肝和菠菜。", "医生说我身体有什么问题？"),
    ("去年夏天我们全家去青海湖骑了三天自行车。", "去年夏天我们全家去哪里骑车了？"),
    ("老板给我涨了工资，从七月开始算。", "我的工资从什么时候开始涨？"),
    ("我不吃香菜，点菜的时候记得说一声。", "点菜的时候有什么是我不吃的？"),
    ("我高中同学阿强在深圳做外卖骑手。", "阿强在深圳做什么？"),
    ("楼上的邻居半夜练钢琴，吵得我睡不着。", "谁半夜吵得我睡不着？"),
    ("我的护照明年三月到期，得提前换。", "我的护照什么时候到期？"),
    ("女儿幼儿园的老师姓欧阳，特别有耐心。", "女儿的老师姓什么？"),
    ("我在阳台上种了小番茄和薄荷。", "我在阳台上种了什么？"),
]
OTHERS = """
今天天气不错，我们去公园走了走。|你觉得这个周末吃什么好？|我在看一部关于海洋的纪录片。|地铁今天特别挤，差点迟到。|谢谢你，我明白了。|我弟弟最近在准备考试，压力很大。|
公司的咖啡机又坏了，大家都在抱怨。|我想换一个大一点的房子。|昨天的会议开了三个小时，什么也没定下来。|妈妈寄来了一箱苹果，很甜。|我打算买一双跑步鞋。|这家餐厅的鱼做得很好吃。|
手机的电池越来越不耐用了。|我们小区要装新的电梯。|孩子今天在学校得了一朵小红花。|晚上想喝点热汤。|他说的那个软件我没用过。|我昨天睡得很晚，今天没有精神。|
图书馆周一不开门。|外面下雨了，记得带伞。|我在学做红烧肉，还差点火候。|同事送了我一盆绿萝。|这个月的电费有点高。|她的声音很好听，适合做播音员。|
快递放在楼下的柜子里了。|新来的经理要求每天写日报。|我喜欢在早上听音乐。|冰箱里还有牛奶和鸡蛋。|今年的雪下得特别早。|路口的红绿灯坏了，堵了很久。|
他们在讨论去哪里旅游。|我的电脑要重装系统了。|朋友推荐了一家牙科诊所。|这本书的结尾我没看懂。|球队昨天输了两个球。|超市的酸奶在打折。|
我给爸爸买了一件羽绒服。|楼下新开了一家面包店。|放学以后孩子们在操场上踢球。|我忘了把衣服收回来。
""".replace("\n", "").split("|")  # fmt: skip


@pytest.fixture(scope="module")
def memory() -> Memory:
    with Memory.open(":memory:") as opened:
        scope = opened.scope(user="lan")
        turns = [text for pair in zip(OTHERS[::2], OTHERS[1::2], [told for told, _ in TOLD], strict=True) for text in pair]
        for number, text in enumerate(turns):
            scope.add(text, speaker="兰", at=(date(2026, 3, 2) + timedelta(days=number)).isoformat(), session=f"s{number // 6}")
        yield opened  # type: ignore[misc]


def place(memory: Memory, question: str, told: str) -> int:
    """Where the turn stands among the evidence, best score first; 99 when it is not there."""
    items = sorted(memory.scope(user="lan").recall(question, budget=4_000).items, key=lambda item: -item.score)
    return next((number for number, item in enumerate(items, 1) if item.text == told), 99)


def test_the_right_turn_is_among_the_first_three_of_sixty(memory: Memory) -> None:
    places = {question: place(memory, question, told) for told, question in TOLD}
    assert len(OTHERS) == 40
    assert {question: found for question, found in places.items() if found > 3} == {}
    assert sum(found == 1 for found in places.values()) >= 17
