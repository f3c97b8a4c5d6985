"""The word tables of the little world: every fact once, in English and Japanese.

One row per line, fields separated by `|`. Everything here was written for the project.
"""


def rows(table: str) -> list[list[str]]:
    """Split a table into its rows; blank fields stay as empty strings."""
    return [[field.strip() for field in line.split("|")] for line in table.strip().splitlines()]


# country | ja | capital | ja | continent | language | ja
COUNTRIES = rows("""
France|フランス|Paris|パリ|Europe|French|フランス語
Japan|日本|Tokyo|東京|Asia|Japanese|日本語
Germany|ドイツ|Berlin|ベルリン|Europe|German|ドイツ語
Italy|イタリア|Rome|ローマ|Europe|Italian|イタリア語
Spain|スペイン|Madrid|マドリード|Europe|Spanish|スペイン語
Portugal|ポルトガル|Lisbon|リスボン|Europe|Portuguese|ポルトガル語
Greece|ギリシャ|Athens|アテネ|Europe|Greek|ギリシャ語
Poland|ポーランド|Warsaw|ワルシャワ|Europe|Polish|ポーランド語
Sweden|スウェーデン|Stockholm|ストックホルム|Europe|Swedish|スウェーデン語
Norway|ノルウェー|Oslo|オスロ|Europe|Norwegian|ノルウェー語
Finland|フィンランド|Helsinki|ヘルシンキ|Europe|Finnish|フィンランド語
Denmark|デンマーク|Copenhagen|コペンハーゲン|Europe|Danish|デンマーク語
Austria|オーストリア|Vienna|ウィーン|Europe|German|ドイツ語
Hungary|ハンガリー|Budapest|ブダペスト|Europe|Hungarian|ハンガリー語
Ireland|アイルランド|Dublin|ダブリン|Europe|English|英語
England|イギリス|London|ロンドン|Europe|English|英語
Ukraine|ウクライナ|Kyiv|キーウ|Europe|Ukrainian|ウクライナ語
Romania|ルーマニア|Bucharest|ブカレスト|Europe|Romanian|ルーマニア語
Bulgaria|ブルガリア|Sofia|ソフィア|Europe|Bulgarian|ブルガリア語
Iceland|アイスランド|Reykjavik|レイキャビク|Europe|Icelandic|アイスランド語
China|中国|Beijing|北京|Asia|Chinese|中国語
South Korea|韓国|Seoul|ソウル|Asia|Korean|韓国語
Thailand|タイ|Bangkok|バンコク|Asia|Thai|タイ語
Vietnam|ベトナム|Hanoi|ハノイ|Asia|Vietnamese|ベトナム語
Mongolia|モンゴル|Ulaanbaatar|ウランバートル|Asia|Mongolian|モンゴル語
Nepal|ネパール|Kathmandu|カトマンズ|Asia|Nepali|ネパール語
Iran|イラン|Tehran|テヘラン|Asia|Persian|ペルシャ語
Iraq|イラク|Baghdad|バグダッド|Asia|Arabic|アラビア語
Saudi Arabia|サウジアラビア|Riyadh|リヤド|Asia|Arabic|アラビア語
Egypt|エジプト|Cairo|カイロ|Africa|Arabic|アラビア語
Morocco|モロッコ|Rabat|ラバト|Africa|Arabic|アラビア語
Kenya|ケニア|Nairobi|ナイロビ|Africa|Swahili|スワヒリ語
Ghana|ガーナ|Accra|アクラ|Africa|English|英語
Senegal|セネガル|Dakar|ダカール|Africa|French|フランス語
Ethiopia|エチオピア|Addis Ababa|アディスアベバ|Africa|Amharic|アムハラ語
Tunisia|チュニジア|Tunis|チュニス|Africa|Arabic|アラビア語
Angola|アンゴラ|Luanda|ルアンダ|Africa|Portuguese|ポルトガル語
Canada|カナダ|Ottawa|オタワ|North America|English|英語
Mexico|メキシコ|Mexico City|メキシコシティ|North America|Spanish|スペイン語
Cuba|キューバ|Havana|ハバナ|North America|Spanish|スペイン語
Jamaica|ジャマイカ|Kingston|キングストン|North America|English|英語
Brazil|ブラジル|Brasilia|ブラジリア|South America|Portuguese|ポルトガル語
Argentina|アルゼンチン|Buenos Aires|ブエノスアイレス|South America|Spanish|スペイン語
Chile|チリ|Santiago|サンティアゴ|South America|Spanish|スペイン語
Peru|ペルー|Lima|リマ|South America|Spanish|スペイン語
Colombia|コロンビア|Bogota|ボゴタ|South America|Spanish|スペイン語
Venezuela|ベネズエラ|Caracas|カラカス|South America|Spanish|スペイン語
Australia|オーストラリア|Canberra|キャンベラ|Oceania|English|英語
New Zealand|ニュージーランド|Wellington|ウェリントン|Oceania|English|英語
Fiji|フィジー|Suva|スバ|Oceania|English|英語
""")

CONTINENTS = {
    "Europe": "ヨーロッパ", "Asia": "アジア", "Africa": "アフリカ", "North America": "北アメリカ",
    "South America": "南アメリカ", "Oceania": "オセアニア",
}  # fmt: skip

# animal | ja | sound | ja | legs | home | ja | food | ja | class | ja ; from small to large
ANIMALS = rows("""
ant|アリ|||6|the ground|地面|sugar|砂糖|insect|昆虫
bee|ハチ|buzz|ブンブン|6|a hive|巣箱|nectar|花の蜜|insect|昆虫
butterfly|チョウ|||6|the garden|庭|nectar|花の蜜|insect|昆虫
cricket|コオロギ|chirp|コロコロ|6|the field|野原|leaves|葉|insect|昆虫
goldfish|金魚|||0|a bowl|水槽|flakes|えさ|fish|魚
mouse|ねずみ|squeak|チューチュー|4|a hole|穴|cheese|チーズ|mammal|哺乳類
sparrow|スズメ|tweet|チュンチュン|2|a bush|茂み|seeds|種|bird|鳥
frog|カエル|ribbit|ケロケロ|4|a pond|池|flies|ハエ|amphibian|両生類
squirrel|リス|||4|a tree|木|nuts|木の実|mammal|哺乳類
pigeon|ハト|coo|クルックー|2|the city|町|crumbs|パンくず|bird|鳥
crow|カラス|caw|カーカー|2|the woods|林|corn|とうもろこし|bird|鳥
owl|フクロウ|hoot|ホーホー|2|the forest|森|mice|ねずみ|bird|鳥
duck|アヒル|quack|ガーガー|2|a lake|湖|bread|パン|bird|鳥
chicken|ニワトリ|cluck|コケコッコー|2|a farm|農場|grain|穀物|bird|鳥
rabbit|ウサギ|||4|a burrow|巣穴|carrots|にんじん|mammal|哺乳類
cat|猫|meow|ニャーニャー|4|a house|家|fish|魚|mammal|哺乳類
turtle|カメ|||4|the beach|浜辺|seaweed|海藻|reptile|爬虫類
snake|ヘビ|hiss|シューシュー|0|the desert|砂漠|eggs|卵|reptile|爬虫類
eagle|ワシ|screech|キーキー|2|the mountains|山|rabbits|ウサギ|bird|鳥
penguin|ペンギン|||2|the ice|氷の上|squid|イカ|bird|鳥
fox|キツネ|yip|コンコン|4|a den|ほら穴|berries|木いちご|mammal|哺乳類
dog|犬|woof|ワンワン|4|a kennel|犬小屋|bones|骨|mammal|哺乳類
monkey|猿|chatter|キャッキャッ|4|the jungle|ジャングル|bananas|バナナ|mammal|哺乳類
goat|ヤギ|bleat|メーメー|4|the hills|丘|paper|紙|mammal|哺乳類
sheep|羊|baa|メェメェ|4|the meadow|牧草地|clover|クローバー|mammal|哺乳類
wolf|オオカミ|howl|ワオーン|4|the snow|雪の中|sheep|羊|mammal|哺乳類
panda|パンダ|||4|the bamboo forest|竹林|bamboo|竹|mammal|哺乳類
pig|豚|oink|ブーブー|4|a sty|豚小屋|potatoes|じゃがいも|mammal|哺乳類
kangaroo|カンガルー|||2|the outback|荒野|shrubs|低木|mammal|哺乳類
dolphin|イルカ|click|カチカチ|0|the sea|海|sardines|いわし|mammal|哺乳類
lion|ライオン|roar|ガオー|4|the savanna|サバンナ|zebras|シマウマ|mammal|哺乳類
tiger|トラ|growl|グルル|4|the rainforest|熱帯林|deer|鹿|mammal|哺乳類
crocodile|ワニ|||4|a swamp|沼|birds|鳥|reptile|爬虫類
bear|熊|grunt|ウーウー|4|a cave|洞窟|honey|はちみつ|mammal|哺乳類
horse|馬|neigh|ヒヒーン|4|a stable|馬小屋|hay|干し草|mammal|哺乳類
cow|牛|moo|モーモー|4|a barn|牛舎|grass|草|mammal|哺乳類
camel|ラクダ|||4|the dunes|砂丘|thorns|とげのある草|mammal|哺乳類
shark|サメ|||0|the ocean|大洋|tuna|マグロ|fish|魚
hippo|カバ|snort|ブホッ|4|a river|川|reeds|あし|mammal|哺乳類
giraffe|キリン|||4|the plains|平原|tree leaves|木の葉|mammal|哺乳類
elephant|ゾウ|trumpet|パオーン|4|the grassland|草原|bark|木の皮|mammal|哺乳類
whale|クジラ|sing|ボーボー|0|the deep sea|深い海|krill|オキアミ|mammal|哺乳類
""")

# parent | young ; ja uses 子~
YOUNG = rows("""
dog|puppy
cat|kitten
cow|calf
horse|foal
sheep|lamb
pig|piglet
lion|cub
duck|duckling
chicken|chick
frog|tadpole
goat|kid
kangaroo|joey
owl|owlet
""")

# category | plural | ja | members en:ja
CATEGORIES = rows("""
fruit|fruits|果物|apple:りんご,banana:バナナ,grape:ぶどう,orange:みかん,peach:桃,pear:梨,lemon:レモン,cherry:さくらんぼ,strawberry:いちご,melon:メロン,pineapple:パイナップル,mango:マンゴー
vegetable|vegetables|野菜|carrot:にんじん,onion:玉ねぎ,potato:じゃがいも,cabbage:キャベツ,spinach:ほうれん草,cucumber:きゅうり,pumpkin:かぼちゃ,radish:大根,eggplant:なす,lettuce:レタス,garlic:にんにく,pea:えんどう豆
vehicle|vehicles|乗り物|car:車,bus:バス,train:電車,bicycle:自転車,airplane:飛行機,ship:船,truck:トラック,taxi:タクシー,helicopter:ヘリコプター,subway:地下鉄,boat:ボート,rocket:ロケット
tool|tools|道具|hammer:金づち,saw:のこぎり,scissors:はさみ,screwdriver:ドライバー,shovel:シャベル,broom:ほうき,needle:針,ruler:定規,ladder:はしご,rope:ロープ,axe:斧,drill:ドリル
instrument|instruments|楽器|piano:ピアノ,violin:バイオリン,guitar:ギター,drum:太鼓,flute:フルート,trumpet:トランペット,harp:ハープ,cello:チェロ,harmonica:ハーモニカ,organ:オルガン
piece of clothing|clothes|服|shirt:シャツ,skirt:スカート,coat:コート,hat:帽子,sock:靴下,sweater:セーター,dress:ドレス,glove:手袋,scarf:マフラー,jacket:上着,belt:ベルト
piece of furniture|furniture|家具|table:テーブル,chair:椅子,bed:ベッド,sofa:ソファ,shelf:棚,desk:机,bench:ベンチ,drawer:引き出し,cupboard:食器棚
sport|sports|スポーツ|soccer:サッカー,baseball:野球,tennis:テニス,swimming:水泳,basketball:バスケットボール,volleyball:バレーボール,judo:柔道,golf:ゴルフ,skiing:スキー,badminton:バドミントン
flower|flowers|花|rose:バラ,tulip:チューリップ,lily:ユリ,sunflower:ひまわり,daisy:ひなぎく,violet:すみれ,orchid:らん,cherry blossom:桜
drink|drinks|飲み物|water:水,tea:お茶,coffee:コーヒー,milk:牛乳,juice:ジュース,lemonade:レモネード,cocoa:ココア,soda:ソーダ
""")

COLOURS = {
    "red": "赤", "blue": "青", "green": "緑", "yellow": "黄色", "white": "白", "black": "黒", "brown": "茶色",
    "orange": "オレンジ色", "purple": "紫", "pink": "ピンク", "grey": "灰色",
}  # fmt: skip

# thing | ja | colour
COLOURED = rows("""
a banana|バナナ|yellow
a tomato|トマト|red
the sky|空|blue
grass|草|green
snow|雪|white
coal|石炭|black
a carrot|にんじん|orange
chocolate|チョコレート|brown
a lemon|レモン|yellow
milk|牛乳|white
the sun|太陽|yellow
the sea|海|blue
a leaf|葉|green
a fire engine|消防車|red
an eggplant|なす|purple
a flamingo|フラミンゴ|pink
an elephant|ゾウ|grey
a crow|カラス|black
a strawberry|いちご|red
a frog|カエル|green
blood|血|red
rice|米|white
a violet|すみれ|purple
cherry blossom|桜|pink
an ambulance|救急車|white
a pumpkin|かぼちゃ|orange
wood|木材|brown
a stone|石|grey
a cucumber|きゅうり|green
a polar bear|白熊|white
a sunflower|ひまわり|yellow
a mandarin|みかん|orange
spinach|ほうれん草|green
a brick|れんが|red
a grape|ぶどう|purple
a bear|熊|brown
a raincloud|雨雲|grey
honey|はちみつ|yellow
a blueberry|ブルーベリー|blue
tar|タール|black
""")

# en | opposite | ja | opposite
OPPOSITES = rows("""
hot|cold|熱い|冷たい
big|small|大きい|小さい
tall|short|背が高い|背が低い
fast|slow|速い|遅い
new|old|新しい|古い
light|heavy|軽い|重い
bright|dark|明るい|暗い
strong|weak|強い|弱い
rich|poor|豊か|貧しい
happy|sad|うれしい|悲しい
open|closed|開く|閉じる
up|down|上|下
left|right|左|右
near|far|近い|遠い
early|late|早い|遅れる
easy|difficult|易しい|難しい
clean|dirty|きれい|汚い
full|empty|満杯|空っぽ
hard|soft|硬い|柔らかい
wide|narrow|広い|狭い
thick|thin|厚い|薄い
deep|shallow|深い|浅い
wet|dry|ぬれた|乾いた
loud|quiet|うるさい|静か
inside|outside|中|外
front|back|前|後ろ
day|night|昼|夜
morning|evening|朝|夕方
buy|sell|買う|売る
win|lose|勝つ|負ける
push|pull|押す|引く
give|take|あげる|もらう
come|go|来る|行く
start|finish|始まる|終わる
enter|leave|入る|出る
love|hate|好き|嫌い
remember|forget|覚える|忘れる
laugh|cry|笑う|泣く
wake|sleep|起きる|寝る
first|last|最初|最後
expensive|cheap|高価|安い
sweet|bitter|甘い|苦い
safe|dangerous|安全|危険
true|false|本当|うそ
many|few|多い|少ない
long|brief|長い|短い
same|different|同じ|違う
increase|decrease|増える|減る
ask|answer|質問|答え
war|peace|戦争|平和
north|south|北|南
east|west|東|西
""")

PLURALS = rows("""
cat|cats
dog|dogs
book|books
car|cars
tree|trees
house|houses
apple|apples
box|boxes
bus|buses
dish|dishes
watch|watches
glass|glasses
baby|babies
city|cities
lady|ladies
story|stories
party|parties
leaf|leaves
knife|knives
wolf|wolves
shelf|shelves
wife|wives
half|halves
child|children
man|men
woman|women
foot|feet
tooth|teeth
goose|geese
mouse|mice
ox|oxen
person|people
sheep|sheep
fish|fish
deer|deer
potato|potatoes
tomato|tomatoes
hero|heroes
piano|pianos
key|keys
toy|toys
day|days
boy|boys
girl|girls
pen|pens
cup|cups
shoe|shoes
brush|brushes
fox|foxes
peach|peaches
order|orders
parcel|parcels
berry|berries
penny|pennies
thief|thieves
loaf|loaves
""")

PASTS = rows("""
go|went
eat|ate
see|saw
come|came
run|ran
write|wrote
read|read
take|took
give|gave
make|made
buy|bought
sell|sold
think|thought
bring|brought
teach|taught
catch|caught
drink|drank
swim|swam
sing|sang
begin|began
speak|spoke
break|broke
drive|drove
ride|rode
fly|flew
grow|grew
know|knew
throw|threw
draw|drew
sleep|slept
keep|kept
feel|felt
leave|left
lose|lost
find|found
hold|held
tell|told
say|said
stand|stood
sit|sat
win|won
walk|walked
play|played
talk|talked
help|helped
open|opened
close|closed
cook|cooked
jump|jumped
send|sent
pay|paid
arrive|arrived
""")

# kanji word | reading
READINGS = rows("""
山|やま
川|かわ
海|うみ
空|そら
森|もり
花|はな
雨|あめ
雪|ゆき
風|かぜ
星|ほし
月|つき
朝|あさ
夜|よる
犬|いぬ
猫|ねこ
鳥|とり
魚|さかな
馬|うま
牛|うし
水|みず
火|ひ
木|き
石|いし
道|みち
町|まち
村|むら
国|くに
人|ひと
子供|こども
友達|ともだち
先生|せんせい
学生|がくせい
学校|がっこう
病院|びょういん
電車|でんしゃ
自転車|じてんしゃ
飛行機|ひこうき
手紙|てがみ
電話|でんわ
時計|とけい
新聞|しんぶん
辞書|じしょ
料理|りょうり
野菜|やさい
果物|くだもの
牛乳|ぎゅうにゅう
注文|ちゅうもん
商品|しょうひん
荷物|にもつ
返金|へんきん
住所|じゅうしょ
名前|なまえ
今日|きょう
明日|あした
昨日|きのう
天気|てんき
音楽|おんがく
家族|かぞく
旅行|りょこう
仕事|しごと
""")

# thing | counter | reading of the counter
COUNTERS = rows("""
犬|匹
猫|匹
魚|匹
ウサギ|羽
鳥|羽
馬|頭
牛|頭
ゾウ|頭
紙|枚
皿|枚
シャツ|枚
切手|枚
鉛筆|本
傘|本
木|本
本|冊
雑誌|冊
ノート|冊
車|台
自転車|台
テレビ|台
りんご|個
卵|個
箱|個
家|軒
店|軒
靴|足
靴下|足
人|人
学生|人
手紙|通
船|隻
""")

DAYS = rows("""
Monday|月曜日
Tuesday|火曜日
Wednesday|水曜日
Thursday|木曜日
Friday|金曜日
Saturday|土曜日
Sunday|日曜日
""")
# month | season | ja season (northern hemisphere)
MONTHS = rows("""
January|winter|冬
February|winter|冬
March|spring|春
April|spring|春
May|spring|春
June|summer|夏
July|summer|夏
August|summer|夏
September|autumn|秋
October|autumn|秋
November|autumn|秋
December|winter|冬
""")
ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth"
).split()  # fmt: skip

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
KANJI_DIGITS = "〇一二三四五六七八九"

# job | ja | does | ja | place | ja
JOBS = rows("""
baker|パン職人|bakes bread|パンを焼き|a bakery|パン屋
teacher|先生|teaches children|子供に教え|a school|学校
doctor|医者|treats patients|患者を診|a hospital|病院
farmer|農家|grows crops|作物を育て|a farm|農場
fisher|漁師|catches fish|魚を捕り|a harbour|港
pilot|パイロット|flies airplanes|飛行機を操縦し|an airport|空港
driver|運転手|drives buses|バスを運転し|a bus station|バス乗り場
cook|料理人|cooks meals|料理を作り|a restaurant|レストラン
firefighter|消防士|puts out fires|火を消し|a fire station|消防署
police officer|警察官|protects people|人々を守り|a police station|警察署
librarian|司書|lends books|本を貸し出し|a library|図書館
painter|画家|paints pictures|絵を描き|a studio|アトリエ
dentist|歯医者|fixes teeth|歯を治し|a dental clinic|歯科医院
carpenter|大工|builds houses|家を建て|a workshop|作業場
gardener|庭師|plants flowers|花を植え|a garden|庭園
singer|歌手|sings songs|歌を歌い|a concert hall|コンサートホール
actor|俳優|plays roles|役を演じ|a theatre|劇場
mechanic|整備士|repairs cars|車を修理し|a garage|車庫
postal worker|郵便局員|delivers letters|手紙を配達し|a post office|郵便局
tailor|仕立屋|sews clothes|服を縫い|a tailor shop|仕立て店
judge|裁判官|decides cases|裁判を裁き|a court|裁判所
scientist|科学者|does experiments|実験をし|a laboratory|研究所
vet|獣医|heals animals|動物を治療し|an animal clinic|動物病院
barber|理容師|cuts hair|髪を切り|a barber shop|床屋
shopkeeper|店主|sells goods|商品を売り|a shop|店
bank clerk|銀行員|counts money|お金を数え|a bank|銀行
""")

# purpose | ja | tool | ja
USES = rows("""
cut paper|紙を切る|scissors|はさみ
hit nails|釘を打つ|a hammer|金づち
cut wood|木を切る|a saw|のこぎり
dig a hole|穴を掘る|a shovel|シャベル
sweep the floor|床を掃く|a broom|ほうき
write a letter|手紙を書く|a pen|ペン
tell the time|時間を知る|a clock|時計
measure a line|線を測る|a ruler|定規
sew a button|ボタンを縫う|a needle|針
eat soup|スープを飲む|a spoon|スプーン
brush your teeth|歯を磨く|a toothbrush|歯ブラシ
open a door|ドアを開ける|a key|鍵
keep off the rain|雨をよける|an umbrella|傘
take photos|写真を撮る|a camera|カメラ
boil water|お湯を沸かす|a kettle|やかん
see far stars|遠くの星を見る|a telescope|望遠鏡
comb your hair|髪をとかす|a comb|くし
call a friend|友達に電話する|a phone|電話
dry your hands|手をふく|a towel|タオル
carry books|本を運ぶ|a bag|かばん
slice bread|パンを切る|a knife|ナイフ
wash your hands|手を洗う|soap|石けん
light a dark room|暗い部屋を照らす|a lamp|ランプ
erase a mistake|間違いを消す|an eraser|消しゴム
climb to the roof|屋根に登る|a ladder|はしご
paint a wall|壁を塗る|a brush|はけ
keep food cold|食べ物を冷やす|a fridge|冷蔵庫
find the way|道を調べる|a map|地図
""")

# verb | ja | body part | ja
BODY = rows("""
see|見|eyes|目
hear|聞き|ears|耳
smell|かぎ|nose|鼻
taste|味わい|tongue|舌
walk|歩き|legs|足
hold things|物を持ち|hands|手
bite|かみ|teeth|歯
think|考え|brain|脳
breathe|呼吸し|lungs|肺
speak|話し|mouth|口
""")

# thing | ja | material | ja
MADE_OF = rows("""
bread|パン|flour|小麦粉
cheese|チーズ|milk|牛乳
a window|窓|glass|ガラス
a book|本|paper|紙
a desk|机|wood|木
a ring|指輪|gold|金
a coin|硬貨|metal|金属
a sweater|セーター|wool|羊毛
a tyre|タイヤ|rubber|ゴム
a vase|花瓶|clay|粘土
wine|ワイン|grapes|ぶどう
tofu|豆腐|soybeans|大豆
a candle|ろうそく|wax|ろう
a shoe|靴|leather|革
a bottle|ボトル|plastic|プラスチック
a snowman|雪だるま|snow|雪
an omelette|オムレツ|eggs|卵
a T-shirt|Tシャツ|cotton|綿
""")

# goods | ja | shop | ja
SHOPS = rows("""
bread|パン|a bakery|パン屋
books|本|a bookshop|本屋
flowers|花|a flower shop|花屋
medicine|薬|a pharmacy|薬局
stamps|切手|a post office|郵便局
meat|肉|a butcher|肉屋
fish|魚|a fish market|魚市場
toys|おもちゃ|a toy shop|おもちゃ屋
shoes|靴|a shoe shop|靴屋
train tickets|電車の切符|a station|駅
cakes|ケーキ|a cake shop|ケーキ屋
vegetables|野菜|a greengrocer|八百屋
glasses|眼鏡|an optician|眼鏡屋
furniture|家具|a furniture store|家具店
""")

# word | ja | kind of thing (what the answer must say) | rest of the definition | ja definition | ja key
MEANINGS = rows("""
a dictionary|辞書|book|that explains words|言葉の意味を説明する本|本
a river|川|long stream of water|that flows to the sea|海へ流れる長い水の流れ|水の流れ
an island|島|land|with water all around it|周りを水に囲まれた陸地|陸地
a desert|砂漠|very dry place|with little rain|雨がとても少ない乾いた土地|乾いた土地
a volcano|火山|mountain|that can throw out fire|火を噴くことがある山|山
a refund|返金|money|that a shop gives back to you|お店から戻ってくるお金|お金
a parcel|小包|package|that is sent by post|郵便で送られる包み|包み
a receipt|領収書|paper|that shows what you paid|払った金額を示す紙|紙
a discount|割引|lower price|for a short time|値段を安くすること|安く
a delivery|配達|service|that brings goods to your home|荷物を家まで届けること|届ける
a coupon|クーポン|ticket|that makes things cheaper|買い物が安くなる券|券
an order|注文|request|to buy something|品物を買いたいと頼むこと|頼む
a customer|お客様|person|who buys things in a shop|お店で物を買う人|買う人
a warranty|保証|promise|to repair a product for free|無料で修理するという約束|約束
an address|住所|description|of where somebody lives|人が住んでいる場所を表すもの|場所
an umbrella|傘|cover|that keeps you dry in the rain|雨の日に体をぬらさないもの|雨の日
a calendar|カレンダー|table|of the days of the year|一年の日付を並べた表|表
a museum|博物館|building|where you can see old things|古い物や珍しい物を見せる建物|建物
a library|図書館|house|full of books to borrow|本を借りられる施設|施設
a friend|友達|somebody|you like and trust|好きで信頼できる相手|相手
a holiday|休日|day|without work or school|仕事や学校が休みの日|休みの日
breakfast|朝食|first meal|of the day|一日の最初の食事|最初の食事
dinner|夕食|evening meal|of the day|夕方に食べる食事|夕方
an orphan|孤児|child|who has no parents|両親のいない子供|子供
a twin|双子|one of two children|born together|一緒に生まれた二人の子供|二人
a year|一年|time|of twelve months|十二か月の長さ|十二か月
a week|一週間|period|of seven days|七日間の長さ|七日
a minute|一分|stretch|of sixty seconds|六十秒の長さ|六十秒
ice|氷|frozen water|that is hard and cold|水が凍って固くなったもの|水が凍
steam|湯気|hot mist|that rises from boiling water|お湯から立ちのぼる白い霧|霧
a rainbow|虹|coloured arc|in the sky after rain|雨の後に空に出る七色の橋|七色
a shadow|影|dark shape|behind something in the light|光をさえぎってできる暗い形|暗い形
the moon|月|ball of rock|that goes around the earth|地球の周りを回る星|星
a nest|巣|home|that a bird builds|鳥が作る家|家
a forest|森|place|with a great many trees|木がたくさん生えている所|木がたくさん
a bridge|橋|road|over a river|川の上を渡る道|道
a secret|秘密|thing|you do not tell others|人に話さないこと|話さない
a gift|贈り物|present|you give to somebody|誰かにあげる品物|品物
a lie|うそ|statement|that is not true|本当ではない話|話
a story|物語|tale|about people and events|人や出来事を語ったお話|お話
""")

NAMES_EN = (
    "Anna Ben Clara David Emma Felix Grace Henry Iris Jack Kate Leo Mia Noah Olivia Paul Rosa Sam Tina Victor "
    "Lucy Oscar Julia Peter Nina Martin Sarah Tom Alice Daniel Eva George Hannah Ivan Laura Max Nora Simon Ruth Adam"
).split()
NAMES_JA = (
    "田中 佐藤 鈴木 高橋 伊藤 渡辺 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 林 清水 森 "
    "池田 橋本 石川 前田 藤田 小川 岡田 長谷川 村上 近藤"
).split()
CITIES_EN = (
    "Paris London Berlin Rome Madrid Tokyo Osaka Kyoto Vienna Oslo Boston Chicago Lisbon Dublin Prague Athens "
    "Cairo Sydney Toronto Seoul Milan Geneva Hamburg Lyon Porto Kobe Nagoya Sapporo Leeds Bristol"
).split()
CITIES_JA = "東京 大阪 京都 名古屋 札幌 福岡 神戸 横浜 仙台 広島 奈良 金沢 長野 静岡 岡山 熊本 那覇 新潟".split()
GOODS = rows("""
lamp|ランプ
teapot|急須
backpack|リュック
blanket|毛布
mug|マグカップ
notebook|ノート
umbrella|傘
jacket|上着
kettle|やかん
clock|時計
chair|椅子
candle|ろうそく
scarf|マフラー
wallet|財布
bicycle|自転車
camera|カメラ
desk|机
pillow|枕
vase|花瓶
mirror|鏡
puzzle|パズル
guitar|ギター
headphones|ヘッドホン
sweater|セーター
boots|ブーツ
basket|かご
plate|皿
watch|腕時計
rug|じゅうたん
towel|タオル
""")
