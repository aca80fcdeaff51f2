"""Months and weekdays in many languages."""
# ruff: noqa: RUF001

import numpy as np
import pytest

from cgru.datasets.dates import dates_in, months_by_name
from cgru.datasets.month_names import folded, months_of, weekdays_of
from cgru.datasets.time_parsing import parse_times, rank_times

LANGUAGES = {  # of each some names as they stand in tables
    "German": ("Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
               "Jän. Feb. Mrz Apr. Mai Juni Jul. Aug. Sept. Okt. Nov. Dez."),
    "French": ("janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
               "janv. févr. mars avr. mai juin juil. aout sept. oct. nov. déc."),
    "Spanish": ("enero febrero marzo abril mayo junio julio agosto setiembre octubre noviembre diciembre",
                "ene. feb. mar. abr. may. jun. jul. ago. sept. oct. nov. dic."),
    "Italian": ("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
                "gen feb mar apr mag giu lug ago set ott nov dic"),
    "Portuguese": ("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
                   "jan. fev. mar. abr. mai. jun. jul. ago. set. out. nov. dez."),
    "Dutch": ("januari februari maart april mei juni juli augustus september oktober november december",
              "jan feb mrt apr mei jun jul aug sep okt nov dec"),
    "Polish": ("styczeń luty marzec kwiecień maj czerwiec lipiec sierpień wrzesień październik listopad grudzień",
               "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
               "sty lut mar kwi maj cze lip sie wrz paź lis gru"),
    "Swedish": ("januari februari mars april maj juni juli augusti september oktober november december",),
    "Danish": ("januar februar marts april maj juni juli august september oktober november december",),
    "Norwegian": ("jan. feb. mars apr. mai juni juli aug. sep. okt. nov. des.",),
    "Finnish": ("tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu heinäkuu elokuu syyskuu lokakuu marraskuu "
                "joulukuu",
                "tammikuuta helmikuuta maaliskuuta huhtikuuta toukokuuta kesäkuuta heinäkuuta elokuuta syyskuuta "
                "lokakuuta marraskuuta joulukuuta",
                "tammi helmi maalis huhti touko kesä heinä elo syys loka marras joulu"),
    "Czech": ("leden únor březen duben květen červen červenec srpen září říjen listopad prosinec",
              "ledna února března dubna května června července srpna září října listopadu prosince",
              "led úno bře dub kvě čvn čvc srp zář říj lis pro"),
    "Turkish": ("Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
                "OCA ŞUB MAR NİS MAY HAZ TEM AĞU EYL EKİ KAS ARA"),
    "Russian": ("январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь",
                "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
                "янв фев мар апр мая июн июл авг сен окт ноя дек"),
    "Ukrainian": ("січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",),
    "Greek": ("Ιανουαρίου Φεβρουαρίου Μαρτίου Απριλίου Μαΐου Ιουνίου Ιουλίου Αυγούστου Σεπτεμβρίου Οκτωβρίου Νοεμβρίου "
              "Δεκεμβρίου",),
    "Croatian": ("siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada studenoga prosinca",),
    "Hungarian": ("január február március április május június július augusztus szeptember október november december",),
    "Romanian": ("ian. feb. mar. apr. mai iun. iul. aug. sept. oct. nov. dec.",),
    "English": ("Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec",),
}  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_months_of_a_year(language):
    due = [f"2023-{month:02}-17" for month in range(1, 13)]
    for names in LANGUAGES[language]:
        for form in ("17 {} 2023", "17. {} 2023", "17-{}-2023", "2023 {} 17", "{} 17, 2023"):
            texts = [form.format(name) for name in names.split()]
            assert parse_times(texts, "t").values.astype("datetime64[D]").astype(str).tolist() == due
        upper = [f"17 {name.upper()} 2023" for name in names.split()]
        assert parse_times(upper, "t").values.astype("datetime64[D]").astype(str).tolist() == due


def test_connecting_words():
    for text in ("3 de enero de 2024", "3 janvier 2024", "3 января 2024 г.", "den 3. januar 2024", "3. januára 2024",
                 "3 de gener del 2024", "2024 m. sausio 3 d.", "2024. gada 3. janvāris", "środa, 3 stycznia 2024",
                 "mié., 3 ene. 2024", "3 Ocak 2024 Çarşamba", "quarta-feira, 3 de janeiro de 2024"):  # fmt: skip
        assert parse_times([text], "t").written(parse_times([text], "t").values)[0] in (
            "2024-01-03",
            "03. January 2024",
        ), text
    assert parse_times(["1er janvier 2024"], "t").values[0].item().day == 1


def test_names_of_two_languages_are_told_by_the_column_or_refused():
    # listopad is November in Polish and Czech, October in Croatian; lip is July and June.
    polish = ["5 lis 2020", "5 paź 2020"]
    assert ranks_of(polish) == [1, 0]
    assert ranks_of(["5 lis 2020", "5 stu 2020"]) == [0, 1]  # Croatian
    assert ranks_of(["5 lis 2020", "6 lis 2020"]) == [0, 1]  # whichever it is
    with pytest.raises(
        ValueError, match=r"got '5 lis 2020', which may be 2020-1\d-05 or 2020-1\d-05; write months as num"
    ):
        parse_times(["5 lis 2020"], "t", locate=None)
    with pytest.raises(ValueError, match=r"expected dates with one reading, got 'lip 2020'"):
        parse_times(["lip 2020", "sty 2020", "Sept 2020"], "t", locate=None)
    assert len(dates_in(["mar 2020"])) == 1
    assert months_of("jui") == {}  # juin or juillet


def ranks_of(texts):
    return rank_times(np.array(texts, object), "t").tolist()


def test_a_column_is_of_one_language():
    assert months_by_name({"mai", "okt"}) == [({"mai": 5, "okt": 10}, False)] or months_by_name({"okt", "mai"})
    assert months_by_name({"mai", "enero"})[0][0] == {"mai": 5, "enero": 1}  # of none, each of which means one
    assert months_by_name({"may", "dec"})[0][1] is True
    assert months_by_name(set()) == [({}, True)]


def test_only_english_names_are_written_again():
    times = parse_times(["17 Mai 2023", "17 Juni 2023"], "t")
    assert times.written(times.values) == ["2023-05-17", "2023-06-17"]
    times = parse_times(["17 May 2023", "17 June 2023"], "t")
    assert times.written(times.values) == ["17 May 2023", "17 Jun 2023"]
    times = parse_times(["Mai 2023", "Juni 2023"], "t")
    assert times.written(times.values) == ["2023-05", "2023-06"]


def test_weekdays_that_are_wrong_are_no_date():
    for text in ("Mo, 01.01.2024", "lun. 1 janvier 2024", "понедельник, 1 января 2024", "2024-01-01 (Mon)"):
        assert len(dates_in([text])) == 1
        assert dates_in([text.replace("2024", "2023")]) == []
    assert weekdays_of("ma") == {0, 1}
    assert weekdays_of("x") == frozenset()


def test_letters_are_folded():
    assert folded("Październik") == "pazdziernik"
    assert folded("KASIM") == folded("kasım") == "kasim"
    assert folded("Ιούλιος") == "ιουλιοσ"
