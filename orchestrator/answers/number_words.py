"""The words that scale a number, and those that make it a different number.

Units are not listed anywhere: a word is a unit unless it is listed here. If a word that changes a number is missing,
add it to its language. A word that is a common noun in English is left out. It must not know how numbers are written.
"""

import unicodedata

from orchestrator.answers.characters import plain_characters


def plain_word(word: str) -> str:
    """The lookup form of a word: case and invisible characters do not matter."""
    return plain_characters(unicodedata.normalize("NFC", word)).casefold()


SCALES = {
    plain_word(word): power
    for word, power in {
        **{"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12},
        **{"lakh": 5, "crore": 7, "लाख": 5, "करोड़": 7},
        **{"万": 4, "萬": 4, "만": 4, "億": 8, "亿": 8, "억": 8},
    }.items()
}
"""The power of ten that each word means."""

CURRENCY = "$¢£¤¥֏؋߾߿৲৳৻૱௹฿៛₠₡₢₣₤₥₦₧₨₩₪₫€₭₮₯₰₱₲₳₴₵₶₷₸₹₺₻₼₽₾₿⃀꠸﷼"
"""All currency signs."""
CURRENCY_WORDS = (
    "USD|EUR|GBP|JPY|CNY|RMB|INR|KRW|CHF|CAD|AUD|NZD|HKD|SGD|TWD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|UAH|TRY|BRL|MXN|ARS|CLP"
    "|COP|PEN|ZAR|NGN|KES|EGP|SAR|AED|ILS|THB|VND|IDR|MYR|PHP|PKR|BDT|LKR|Rs\\.?|Kr\\.?|kr\\.?|Fr\\.?"
)
"""Currency codes and abbreviations that may precede a number."""

COPULAS = (
    "is|are|was|were|be|equals|equal|ist|sind|est|es|son|sont|é|è|são|sono|är|er|jest|là|adalah|это|равно|равен|равна"
)
"""Words that equate two things, as `=` does."""

_WRITTEN_OUT = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety
half halves third thirds fourth fourths quarter quarters fifth fifths sixth sixths seventh sevenths eighth eighths
ninth
ninths tenth tenths twentieth hundredth hundredths thousandth thousandths millionth millionths
dozen dozens pair pairs couple couples score scores gross grosses hundreds thousands millions billions trillions lakhs
crores lac lacs quadrillion quintillion myriad googol mil mio mrd mln mlrd tens ones twos threes fours fives sixes
sevens eights nines
"""
_OTHER_WORDS = """
or and but nor not no never isn't aren't wasn't cannot can't won't couldn't doesn't don't than plus minus wait actually
sorry oops correction rather instead maybe perhaps possibly if unless except otherwise
point squared cubed factorial power root mod modulo base binary octal hex hexadecimal ish fold negative below
least most upward upwards downward wrong incorrect false twice thrice double doubled triple tripled quadruple
halved reciprocal inverse inverted between th st nd rd pi something multiplied divided
less fewer over too zeros zeroes grand thou remainder ths doz dz dzn sextillion septillion zillion
hmm hm nope either neither
"""
_ELSEWHERE = """
null tsd eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf hundert tausend million millionen milliarde
milliarden billion halb halbe halber halbes drittel viertel dutzend dutzende paar und oder nicht kein minus bis aber
sondern doppelt hoch
zéro deux trois quatre cinq six sept huit neuf dix onze douze mille millions milliard milliards demi demie
tiers douzaine douzaines paires et ou pas non moins plutôt carré
cero dos tres cuatro cinco seis siete ocho nueve diez doce cien ciento mil millón millones medio media tercio
cuarto docena docenas pares ni menos hasta cuadrado
tre quattro cinque sei sette otto nove dieci cento mila milione milioni miliardo miliardi mezzo mezza dozzina
dozzine paio paia ed oppure meno più
dois duas três quatro sete oito nove dez mil milhão milhões bilhão bilhões meia meio dúzia dúzias ou não menos até
mais
nul twee drie vier vijf zes zeven acht negen tien honderd duizend miljoen miljard half halve dozijn niet geen
noll två tre fyra fem sex sju åtta nio tio hundra tusen miljon miljoner miljard halv halva dussin och eller inte
ноль один два три четыре пять шесть семь восемь девять десять сто тысяч тысяча тысячи тыс миллион миллиона миллионов
млн миллиард миллиарда миллиардов млрд половина половиной полтора дюжина дюжин пара пары и или не нет минус до плюс
dwa trzy cztery pięć sześć siedem osiem dziewięć dziesięć sto tysiąc tysiące tysięcy milion miliony milionów tuzin
tuziny pół lub albo nie bir iki üç dört beş altı yedi sekiz dokuz yüz milyon milyar buçuk düzine veya değil
satu dua tiga empat lima enam tujuh delapan sembilan sepuluh ratus ribu juta setengah lusin atau bukan dan
một hai ba bốn năm sáu bảy tám chín mười trăm nghìn ngàn triệu tỷ rưỡi nửa tá hoặc không và
μισό δύο τρία τέσσερα πέντε έξι χίλια χιλιάδες εκατομμύρια ντουζίνα και ή όχι δεν π
נכון לא או חצי אלף מיליון תריסר שתיים שלוש
ليس أو او نصف دزينة مليون ملايين ألف الف آلاف مليار مئة مائة ناقص سالب زوج إلى و أم واحد اثنان ثلاثة أربعة خمسة ستة
سبعة ثمانية تسعة عشرة
nolla yksi kaksi kolme neljä viisi kuusi seitsemän kahdeksan yhdeksän kymmenen sata tuhat miljoona miljoonaa miljardi
puoli puolet tusina tai vai eikä mutta miinus ei
nulla egy kettő két három négy öt hét nyolc kilenc tíz száz ezer millió milliárd fél tucat vagy és nem plusz mínusz
nula jeden jedna jedno dva dvě tři čtyři pět šest sedm osm devět deset sto tisíc tisíce milión milión miliarda půl tucet
nebo anebo nikoli mínus plus dve štyri päť šesť osem deväť desať alebo
unu doi două trei patru cinci șase şase șapte şapte nouă zece sută sute mii milion milioane miliard miliarde
jumătate duzină sau și şi nu
нуль одна одне дві чотири шість сім вісім дев'ять сто тисяча тисячі мільйон мільйона мільйонів мільярд половина або й ні
не мінус
nul et tre fem seks syv otte tyve halvtreds hundrede hundre tusind tusen million millioner milliarder
halvdelen eller ikke ingen
jedan dvije tri četiri šest sedam osam devet deset stotinu tisuću hiljadu milijun milion milijarda pola ili nije
една две три четири пет шест седем осем девет хиляда хиляди милиона не или половин
puolitoista
тисяч сотен сотни сотня десятков десятки десяток tuhatta miljonit milionu milionů tucatnyi tuctů tuctu tuzinów tusinaa
billionen billones billón biljoen miliar triliun vạn dusin hiljada milijuna милион милиони centenas centena centaines
centaine cientos stovky stovka ντουζίνες tys tis tūkst tisoč milijonov tūkstoši tūkstančiai tūkstančių milijonai
milijonų milions duisend þúsund milljónir milljón mijë elfu мың минг ming لا هزار میلیون میلیارد ہزار لاکھ کروڑ درجن
হাজার লাখ শত ডজন মিলিয়ন কোটি હજાર લાખ મિલિયન ડઝન કરોડ ਹਜ਼ਾਰ ਲੱਖ ஆயிரம் இலட்சம் லட்சம் டஜன் మిలియన్ వేలు లక్షలు లక్ష ಸಾವಿರ
ಲಕ್ಷ ആയിരം ലക്ഷം ათასი მილიონი հազար միլիոն
नहीं या और आधा साढ़े सवा पौने डेढ़ ढाई दर्जन जोड़ी जोड़े सौ हज़ार हजार अरब एक दो तीन चार पाँच पांच छह छः सात आठ नौ दस
से ऋण गुना
"""
# In scripts that do not separate words, these change a number wherever they occur in the text beside it.
_PARTS = """
不 没 沒 非 或 和 与 與 及 至 到 加 减 減 乘 除 分之 平方 立方 次方 根 阶 階 打 双 雙
对 對 折 割 成 半 多 余 餘 几 幾 第 负 負 零下 少于 少於 超过 超過 小于 大于 低于 高于
至少 至多 两 以上 以下 未満 超 組 乗 ダース マイナス または もしくは ない ません じゃ から まで
より 아니 또는 혹은 이나 부터 까지 아닙 적어도 少なくとも 以内 ພັນ ແສນ ລ້ານ ពាន់ លាន
다스 쌍 켤레 십 백 천 조 반 하나 둘 셋 넷 다섯 여섯 일곱
여덟 아홉 열 이상 이하 미만 초과 마이너스 제곱 ไม่ หรือ ครึ่ง โหล คู่ ร้อย
พัน หมื่น แสน ล้าน สิบ ลบ ถึง และ หนึ่ง สอง สาม สี่ ห้า
หก เจ็ด แปด เก้า
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(map(plain_word, text.split()))


WRITTEN_OUT = _words(_WRITTEN_OUT)
"""English numbers written as words."""
CHANGING = WRITTEN_OUT | _words(_OTHER_WORDS) | _words(_ELSEWHERE) | SCALES.keys()
"""Words that, beside a number, make it a different number or retract it."""
CHANGING_PARTS = tuple(sorted(_words(_PARTS)))
"""The same for scripts that do not separate words."""
