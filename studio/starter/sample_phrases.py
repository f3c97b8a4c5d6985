"""What customers write and how the shop answers: the phrases behind the sample data sets.

`{item}` and `{city}` are filled in from the word tables. An answer depends on the intent alone,
so that a small model can learn it; what customers write varies in opening, wording and close.
"""

from dataclasses import dataclass

from studio.starter.words import GOODS

ALL = frozenset(item for item, _ in GOODS)
HARD = frozenset({
    "lamp", "teapot", "mug", "umbrella", "kettle", "clock", "chair", "bicycle", "camera", "desk", "vase", "mirror",
    "guitar", "headphones", "plate", "watch",
})  # fmt: skip
WITH_PARTS = HARD - {"mug", "vase", "plate", "mirror"} | {"puzzle"}
WITH_SIZES = frozenset({
    "backpack", "blanket", "jacket", "scarf", "sweater", "boots", "pillow", "rug", "towel", "basket", "chair", "desk",
})  # fmt: skip
WASHABLE = ALL - {"notebook", "candle", "puzzle"}
PLURAL_ONLY = frozenset({"headphones", "boots"})


@dataclass(frozen=True, slots=True)
class Intent:
    """One reason to write: the ways to say it (one a line) and the answer. `question`: may end in a call for help."""

    name: str
    said: str
    answer: str
    items: frozenset[str] = ALL
    question: bool = True

    @property
    def sayings(self) -> list[str]:
        return [line.strip() for line in self.said.strip().splitlines()]


OPENINGS_EN = (
    "Hello, this is {name}.", "Hi, {name} here.", "Good morning, my name is {name}.", "Hello! I am {name}.",
    "Hi, it is {name}.", "Good evening, this is {name}.", "Dear shop, I am {name}.", "My name is {name}.",
)  # fmt: skip
SIGNATURES_EN = ("Thanks, {name}", "Best wishes, {name}", "Thank you. {name}", "From {name}", "Yours, {name}")
NAMELESS_EN = ("Hello.", "Hi there.", "Good morning.", "Good evening.")
CLOSES_EN = ("Can you help me?", "Please help me.", "What can I do?", "Please write back soon.", "Please tell me.")

INTENTS_EN = (
    Intent(
        "late parcel",
        """My {item} has not come yet.
        I am still waiting for my {item}.
        The {item} is very late.
        My parcel with the {item} is not here.
        I ordered the {item} last week, and it is not here.
        Where is my {item}?
        The {item} did not arrive on Friday.""",
        "I am sorry that your {item} is late. It is on its way and will be with you in two days.",
    ),
    Intent(
        "refund",
        """I want my money back for the {item}.
        Please give me a refund for the {item}.
        I do not like the {item} and want a refund.
        Can I get my money back for the {item}?
        The {item} is not for me. I would like a refund.
        How do I get a refund for the {item}?
        I want to give back the {item} and get my money.""",
        "I am sorry that the {item} was not right for you. Send it back for free, and your refund comes in five days.",
    ),
    Intent(
        "wrong item",
        """I ordered the {item}, but something else came.
        You sent me the wrong thing. I bought the {item}.
        This is not the {item} that I ordered.
        I wanted the {item}, but there was another thing in the box.
        My order was the {item}, and the box had something different.
        The parcel is wrong. I asked for the {item}.
        There is no {item} in my box. It is another thing.""",
        "I am sorry for our mistake. The right {item} leaves today, and you can keep the other thing as a gift.",
    ),
    Intent(
        "address change",
        """I have a new home in {city}. Please send the {item} there.
        Please send my {item} to {city}.
        My address is new. The {item} must go to {city}.
        I live in {city} now. Can the {item} come to me there?
        Can you change the address for the {item} to {city}?
        The {item} should go to my new house in {city}.
        I moved to {city} and wait for my {item} there.""",
        "Your new address is saved. The {item} will now go to {city}.",
        question=False,
    ),
    Intent(
        "thanks",
        """I love my new {item}.
        The {item} is here, and it is beautiful.
        Thank you for the {item}. It is just right.
        The {item} came today, and I am so happy.
        What a good {item}! My family loves it.
        My friend likes the {item} very much.
        The {item} is better than I thought.""",
        "Your kind words make our day. We hope the {item} brings you much joy.",
        question=False,
    ),
    Intent(
        "opening hours",
        """When are you open? I want to see the {item}.
        Is the shop open on Monday? I would like to look at the {item}.
        What time do you open? I want to buy the {item}.
        When does your shop close? I need the {item}.
        I want to visit you for the {item}. Which days are you open?
        Are you open now? I like the {item} in your window.
        At what time can I come and see the {item}?""",
        "We are open from nine to six, Monday to Saturday. Come and see the {item} with us.",
        question=False,
    ),
    Intent(
        "warranty",
        """Is there a warranty on the {item}?
        How long is the warranty of the {item}?
        My {item} broke after a year.
        Does the {item} have a warranty?
        Who pays if the {item} breaks?
        I bought the {item} in May. Do I still have a warranty?
        What happens if my {item} breaks next year?""",
        "Your {item} has a warranty of two years. If it breaks, we repair it for free.",
        HARD,
    ),
    Intent(
        "too small",
        """The {item} is too small.
        My {item} is too small for me.
        I need a bigger {item}.
        The {item} came, but it is so small.
        Can I change the {item} for a bigger one?
        I chose the small {item}, and now I need the big one.
        This {item} is smaller than I need.""",
        "That is no problem at all. Send the {item} back, and we will send you a bigger one.",
        WITH_SIZES,
    ),
    Intent(
        "too big",
        """The {item} is too big.
        My {item} is too big for me.
        I need a smaller {item}.
        The {item} came, but it is so big.
        Can I change the {item} for a smaller one?
        I chose the big {item}, and now I need the small one.
        This {item} is bigger than I need.""",
        "That is no problem at all. Send the {item} back, and we will send you a smaller one.",
        WITH_SIZES,
    ),
    Intent(
        "broken",
        """The {item} came broken.
        My new {item} is broken.
        I opened the box, and the {item} was broken.
        The {item} broke on the way to me.
        There is a crack in the {item}.
        The {item} did not survive the trip.
        Your {item} is in pieces.""",
        "I am sorry that your {item} is broken. A new {item} leaves today, and it costs you nothing.",
        HARD,
    ),
    Intent(
        "cancel",
        """Please cancel my order for the {item}.
        I do not need the {item} any more.
        Can I cancel the {item}?
        I ordered the {item} two times. Please stop one order.
        Stop my order, please. I found another {item}.
        I want to cancel the {item} that I ordered today.
        Please do not send the {item}.""",
        "Your order for the {item} is cancelled. Your money comes back in three days.",
        question=False,
    ),
    Intent(
        "gift",
        """Can you wrap the {item} as a gift?
        The {item} is a gift for my mother. Can you wrap it?
        I want to give the {item} to a friend. Do you have gift paper?
        Please wrap the {item} for a birthday.
        Can the {item} come with a card?
        The {item} is for my sister. Can you make it pretty?
        Do you wrap gifts? I want to give the {item}.""",
        "What a lovely idea! We will wrap the {item} in blue paper and add a card.",
        question=False,
    ),
    Intent(
        "discount",
        """Is there a discount on the {item}?
        The {item} is too expensive for me.
        Can I buy the {item} for less money?
        Do you have a coupon for the {item}?
        Will the {item} be cheaper soon?
        Can I have a lower price for the {item}?
        I would buy the {item} with a discount.""",
        "You are in luck. The {item} is ten percent cheaper this week.",
        question=False,
    ),
    Intent(
        "in stock",
        """Do you still have the {item}?
        Is the {item} sold out?
        Can I still buy the {item}?
        I cannot find the {item} in your shop.
        Do you sell the {item}?
        Do you have one more {item}?
        Is the {item} in your shop today?""",
        "Good news, the {item} is here. Order it today, and it leaves tomorrow.",
        question=False,
    ),
    Intent(
        "colours",
        """Which colours does the {item} have?
        Is there a blue {item}?
        Do you have the {item} in red?
        Can I get the {item} in another colour?
        What colours can I choose for the {item}?
        I want the {item} in green.
        I do not like the colour of the {item}.""",
        "The {item} comes in red, blue and green. Just tell us which one you like.",
        question=False,
    ),
    Intent(
        "receipt",
        """I need a receipt for the {item}.
        There was no receipt with the {item}.
        Can you send me the receipt for the {item}?
        I lost the receipt for my {item}.
        My office needs a receipt for the {item}.
        Where is the receipt for the {item}?
        Please send me a paper that shows what I paid for the {item}.""",
        "The receipt for the {item} is on its way to you by mail.",
        question=False,
    ),
    Intent(
        "payment",
        """How can I pay for the {item}?
        Can I pay for the {item} by card?
        I want to pay for the {item} at the door.
        Do I have to pay for the {item} now?
        Which cards do you take? I want to buy the {item}.
        My card does not work, and I want the {item}.
        Can I pay for the {item} later?""",
        "You can pay for the {item} by card or at your door, as you like.",
        question=False,
    ),
    Intent(
        "delivery",
        """How long does the {item} take to {city}?
        What does it cost to send the {item} to {city}?
        Do you send the {item} to {city}?
        I live in {city}. Is delivery of the {item} free?
        When will the {item} be in {city}?
        Can you bring the {item} to {city}?
        I want the {item}, but I am in {city}.""",
        "We send the {item} to {city} for free. It takes three days.",
        question=False,
    ),
    Intent(
        "missing part",
        """A part of the {item} is missing.
        The {item} came, but one part is not here.
        I cannot find all the parts of the {item}.
        One part of my {item} is not in the box.
        The box of the {item} was open, and a part is lost.
        I cannot use the {item}, because a part is missing.
        My {item} needs one more part.""",
        "I am sorry that a part of your {item} is missing. We will send it today for free.",
        WITH_PARTS,
    ),
    Intent(
        "care",
        """How do I clean the {item}?
        My {item} is dirty.
        Can I wash the {item}?
        What is the best way to clean the {item}?
        The {item} has a spot on it. How can I clean it?
        How do I keep the {item} clean?
        Can I use soap on the {item}?""",
        "A soft cloth is best for your {item}. Please do not use strong soap.",
        WASHABLE,
        question=False,
    ),
)

OPENINGS_JA = (
    "{name}です。", "{name}と申します。", "こんにちは、{name}です。", "お世話になっております、{name}です。",
    "はじめまして、{name}と申します。", "こんばんは、{name}です。", "おはようございます、{name}です。",
    "いつもありがとうございます。{name}です。",
)  # fmt: skip
SIGNATURES_JA = ("{name}より", "よろしくお願いします。{name}", "以上です。{name}", "{name}でした。")
NAMELESS_JA = ("こんにちは。", "すみません。", "はじめまして。", "お世話になっております。")
CLOSES_JA = ("どうすればいいですか。", "ご返事をお願いします。", "教えてください。", "困っています。")

INTENTS_JA = (
    Intent(
        "late parcel",
        """{item}がまだ届きません。
        注文した{item}が来ません。
        {item}の到着が遅れています。
        {item}の荷物はどこにありますか。
        先週頼んだ{item}を待っています。
        {item}はいつ届きますか。
        金曜日に届くはずの{item}が来ません。""",
        "{item}のお届けが遅れ、申し訳ございません。二日以内にお届けいたします。",
    ),
    Intent(
        "refund",
        """{item}の返金をお願いします。
        {item}を返して、お金を戻してほしいです。
        {item}が気に入らないので、返金してください。
        {item}の返金はできますか。
        {item}を返品したいです。
        {item}は私に合いません。返金を希望します。
        {item}の代金を返してもらえますか。""",
        "{item}がご希望に合わず、申し訳ございません。五日以内にご返金いたします。",
    ),
    Intent(
        "wrong item",
        """{item}を頼みましたが、違う物が来ました。
        {item}ではない物が届きました。
        箱の中に{item}がなく、別の物がありました。
        注文は{item}なのに、ほかの品が届きました。
        届いた商品が違います。買ったのは{item}です。
        中身が間違っています。{item}を注文しました。
        {item}のはずが、別の商品でした。""",
        "品物を間違え、申し訳ございません。正しい{item}を本日お送りいたします。",
    ),
    Intent(
        "address change",
        """{city}に引っ越しました。{item}はそちらへお願いします。
        {item}を{city}の家に送ってください。
        住所が変わりました。{item}は{city}へ届けてください。
        {item}の届け先を{city}に変えたいです。
        今は{city}に住んでいます。{item}をここに送れますか。
        {item}の送り先を{city}に変更してください。
        新しい家は{city}です。{item}を待っています。""",
        "ご住所を変更いたしました。{item}は{city}へお届けいたします。",
        question=False,
    ),
    Intent(
        "thanks",
        """新しい{item}がとても気に入りました。
        {item}が届きました。とてもきれいです。
        {item}をありがとうございました。
        今日{item}が来て、うれしいです。
        すてきな{item}ですね。家族も喜んでいます。
        友達も{item}が好きだと言っています。
        {item}は思ったより良い物でした。""",
        "うれしいお言葉をいただき、光栄です。{item}を末永くお使いください。",
        question=False,
    ),
    Intent(
        "opening hours",
        """{item}を見たいのですが、何時に開きますか。
        月曜日も開いていますか。{item}を見たいです。
        お店は何時までですか。{item}を買いたいです。
        {item}を買いに行きます。休みの日はいつですか。
        今日は開いていますか。{item}が欲しいです。
        {item}を見に行ける時間を知りたいです。
        お店の時間を教えてください。{item}を探しています。""",
        "月曜日から土曜日の九時から六時まで開いております。{item}をぜひご覧ください。",
        question=False,
    ),
    Intent(
        "warranty",
        """{item}に保証はありますか。
        {item}の保証は何年ですか。
        一年で{item}が壊れました。
        {item}が壊れたら、誰が払いますか。
        五月に買った{item}は、まだ保証がありますか。
        {item}の保証について知りたいです。
        来年{item}が壊れたら、直してもらえますか。""",
        "{item}には二年の保証がございます。壊れた時は無料で修理いたします。",
        HARD,
    ),
    Intent(
        "too small",
        """{item}が小さすぎます。
        {item}が小さくて使えません。
        もっと大きい{item}が欲しいです。
        届いた{item}は私には小さいです。
        {item}を大きい物に換えられますか。
        小さい{item}を選びましたが、大きい方が必要です。
        この{item}は思ったより小さいです。""",
        "かしこまりました。{item}を大きいサイズに交換いたします。",
        WITH_SIZES,
    ),
    Intent(
        "too big",
        """{item}が大きすぎます。
        {item}が大きくて使えません。
        もっと小さい{item}が欲しいです。
        届いた{item}は私には大きいです。
        {item}を小さい物に換えられますか。
        大きい{item}を選びましたが、小さい方が必要です。
        この{item}は思ったより大きいです。""",
        "かしこまりました。{item}を小さいサイズに交換いたします。",
        WITH_SIZES,
    ),
    Intent(
        "broken",
        """届いた{item}が壊れていました。
        新しい{item}が壊れています。
        箱を開けたら、{item}が壊れていました。
        {item}に傷があります。
        {item}が壊れてしまいました。
        来た{item}は使えない物でした。
        {item}がひどく傷んでいます。""",
        "{item}が壊れており、申し訳ございません。新しい{item}を本日お送りいたします。",
        HARD,
    ),
    Intent(
        "cancel",
        """{item}の注文を取り消してください。
        {item}はもう必要ありません。
        {item}をキャンセルできますか。
        {item}を二回注文しました。一つ取り消してください。
        {item}の注文をやめたいです。
        今日頼んだ{item}をキャンセルします。
        {item}を送らないでください。""",
        "{item}のご注文を取り消しました。代金は三日以内にお返しいたします。",
        question=False,
    ),
    Intent(
        "gift",
        """{item}を贈り物用に包めますか。
        {item}は母への贈り物です。包んでもらえますか。
        友達に{item}をあげたいです。包装紙はありますか。
        誕生日なので{item}を包んでください。
        {item}にカードを付けられますか。
        妹に{item}を贈ります。きれいに包めますか。
        贈り物の包装はできますか。{item}を買います。""",
        "喜んで承ります。{item}を青い紙で包み、カードをお付けいたします。",
        question=False,
    ),
    Intent(
        "discount",
        """{item}の割引はありますか。
        {item}は私には高すぎます。
        {item}をもっと安く買えますか。
        {item}に使えるクーポンはありますか。
        {item}はもうすぐ安くなりますか。
        {item}の値段を下げてもらえますか。
        割引があれば{item}を買います。""",
        "今週は{item}が一割引でございます。どうぞご利用ください。",
        question=False,
    ),
    Intent(
        "in stock",
        """{item}はまだありますか。
        {item}は売り切れですか。
        {item}をまだ買えますか。
        お店で{item}が見つかりません。
        {item}を売っていますか。
        {item}はもうないのでしょうか。
        今日{item}はお店にありますか。""",
        "{item}はまだございます。本日のご注文で、明日お送りいたします。",
        question=False,
    ),
    Intent(
        "colours",
        """{item}にはどんな色がありますか。
        青い{item}はありますか。
        {item}の赤はありますか。
        {item}の色を変えられますか。
        {item}の色は何色から選べますか。
        緑の{item}が欲しいです。
        {item}の色が好きではありません。""",
        "{item}は赤、青、緑の三色がございます。お好きな色をお選びください。",
        question=False,
    ),
    Intent(
        "receipt",
        """{item}の領収書をください。
        {item}に領収書が入っていませんでした。
        {item}の領収書を送ってもらえますか。
        {item}の領収書をなくしました。
        会社で{item}の領収書が必要です。
        {item}の領収書はどこにありますか。
        {item}の金額が分かる紙が欲しいです。""",
        "{item}の領収書を郵便でお送りいたします。",
        question=False,
    ),
    Intent(
        "payment",
        """{item}はどうやって払えますか。
        {item}をカードで払えますか。
        {item}の代金を家で払いたいです。
        {item}の代金は今払いますか。
        使えるカードは何ですか。{item}を買いたいです。
        カードが使えません。{item}が欲しいです。
        {item}の支払いは後でもいいですか。""",
        "{item}のお支払いは、カードまたは代金引換をご利用いただけます。",
        question=False,
    ),
    Intent(
        "delivery",
        """{item}は{city}まで何日かかりますか。
        {city}まで{item}を送るといくらですか。
        {item}を{city}に送れますか。
        {city}に住んでいます。{item}の送料は無料ですか。
        {item}はいつ{city}に着きますか。
        {item}を{city}まで届けてもらえますか。
        {item}が欲しいのですが、家は{city}です。""",
        "{item}は{city}まで送料無料でお届けいたします。三日ほどかかります。",
        question=False,
    ),
    Intent(
        "missing part",
        """{item}の部品が足りません。
        {item}は来ましたが、部品が一つありません。
        {item}の部品が見つかりません。
        箱に{item}の部品が入っていませんでした。
        {item}の箱が開いていて、部品がありません。
        部品がないので{item}が使えません。
        {item}の部品がもう一つ必要です。""",
        "{item}の部品が足りず、申し訳ございません。本日無料でお送りいたします。",
        WITH_PARTS,
    ),
    Intent(
        "care",
        """{item}はどうやって洗いますか。
        {item}が汚れました。
        {item}を洗ってもいいですか。
        {item}をきれいにする方法を知りたいです。
        {item}にしみがあります。どう落としますか。
        {item}をきれいに保つには何をしますか。
        {item}に石けんを使えますか。""",
        "{item}は柔らかい布でおふきください。強い洗剤はお控えください。",
        WASHABLE,
        question=False,
    ),
)

INSTRUCTIONS_EN = ("Write this order as JSON.", "Turn the order into JSON.")
ORDERS_EN = (
    "Hi, I am {name} from {city}. Please send me {quantity} {item}.",
    "{quantity} {item} for {name} in {city}, please.",
    "{name} in {city} would like {quantity} {item}.",
    "Please send {quantity} {item} to {name} in {city}.",
    "I want to order {quantity} {item}. My name is {name}, and I live in {city}.",
    "Can I have {quantity} {item}? I am {name} in {city}.",
    "My home is in {city}. I need {quantity} {item}. Thanks, {name}",
    "This is {name}. I would like {quantity} {item} sent to {city}.",
    "I live in {city}. My name is {name}. I want to buy {quantity} {item}.",
    "Send {quantity} {item} to my house in {city}. From {name}",
    "Hello! {quantity} {item}, please. Name: {name}. City: {city}.",
    "To {city}, please: {quantity} {item}. Yours, {name}",
    "Good morning, {name} here. {quantity} {item} should go to {city}.",
    "My friend {name} lives in {city} and needs {quantity} {item}.",
    "Order for {name}: {quantity} {item}. Please bring it to {city}.",
    "We are in {city} and want {quantity} {item}. The name is {name}.",
)
INSTRUCTIONS_JA = ("この注文をJSONにしてください。", "注文をJSONで書いてください。")
ORDERS_JA = (
    "{city}の{name}です。{item}を{quantity}お願いします。",
    "{name}と申します。{item}を{quantity}、{city}まで送ってください。",
    "{item}を{quantity}ください。{city}の{name}です。",
    "{city}に住む{name}です。{item}を{quantity}買いたいです。",
    "{item}が{quantity}欲しいです。名前は{name}、町は{city}です。",
    "{name}ですが、{item}を{quantity}、{city}に届けてください。",
    "{city}の家に{item}を{quantity}送れますか。{name}より",
    "こんにちは、{name}です。{city}に{item}を{quantity}お願いします。",
    "{item}を{quantity}注文します。届け先は{city}、{name}です。",
    "注文です。{name}、{city}、{item}を{quantity}。",
    "{quantity}の{item}を{city}の{name}までお願いします。",
    "{city}へ{item}を{quantity}送ってください。{name}と申します。",
    "友達の{name}さんは{city}にいます。{item}を{quantity}送ります。",
    "はじめまして。{city}の{name}です。{item}を{quantity}頼みます。",
)
COUNTERS_JA = {
    "自転車": "台", "カメラ": "台", "傘": "本", "ろうそく": "本", "ギター": "本", "マフラー": "本", "毛布": "枚",
    "皿": "枚", "タオル": "枚", "じゅうたん": "枚", "上着": "着", "セーター": "着", "ノート": "冊", "ブーツ": "足",
}  # fmt: skip
