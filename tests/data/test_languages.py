"""Languages are told by script and function words; short texts and code have none."""

import pytest

from studio.data.languages import language_of


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The captain of the ship was not at home when they came to see him."),
        ("en", "What is the name of this town?"),
        ("en", "Last winter, the lantern crossed every polite neighbour beside the railway."),
        ("de", "Der Kapitän ist nicht zu Hause und wir warten auf ihn vor dem Haus."),
        ("fr", "Le capitaine est dans la maison et il ne veut pas sortir avec nous."),
        ("es", "El capitán no está en la casa, pero los niños lo esperan con su madre."),
        ("it", "Il capitano non è nella casa, ma i bambini lo aspettano con la madre."),
        ("pt", "O capitão não está em casa, mas as crianças esperam por ele com a mãe."),
        ("nl", "De kapitein is niet in het huis, maar de kinderen wachten op hem met hun moeder."),
        ("ja", "船長は家にいません。"),
        ("ja", "カタカナだけ"),
        ("zh", "船长不在家，孩子们和妈妈一起在等他。"),
        ("ko", "선장은 집에 없습니다."),
        ("ru", "Капитана нет дома."),
        ("uk", "Капітана немає вдома, і діти чекають."),
        ("el", "Ο καπετάνιος δεν είναι σπίτι."),
        ("ar", "القبطان ليس في البيت"),
        ("he", "הקברניט לא בבית"),
        ("hi", "कप्तान घर पर नहीं है"),
        ("th", "กัปตันไม่อยู่บ้าน"),
        ("ja", "このPythonのコードはlistをsortします。"),
    ],
)
def test_languages(language: str, text: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["", "42", "東京", "x = f(y)", "Paris", "😀😀", "Zürich Köln", "\ud800"])
def test_none(text: str) -> None:
    assert language_of(text) == ""
