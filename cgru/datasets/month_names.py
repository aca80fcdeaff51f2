"""Names of months and weekdays in some thirty languages, and the look-up of a word."""
# ruff: noqa: RUF001

from __future__ import annotations

import functools
import re
import unicodedata

__all__ = ["folded", "months_of", "weekdays_of"]

_FINNISH = "tammi helmi maalis huhti touko kesa heina elo syys loka marras joulu"
# January to December; a slash stands between the names of one month. Any beginning of three letters or more that only
# one month has is an abbreviation. Letters are as `folded` leaves them.
_MONTHS = {
    "de": "januar/janner/jaenner februar/feber marz/maerz/mrz april mai juni/juno juli/julei august september oktober "
    "november dezember",
    "fr": "janvier fevrier mars avril mai juin juillet aout septembre octobre novembre decembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre/setiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro marco abril maio junho julho agosto setembro outubro novembro dezembro",
    "ca": "gener febrer marc abril maig juny juliol agost/ag setembre octubre novembre desembre",
    "nl": "januari februari maart/mrt april mei juni juli augustus september oktober november december",
    "af": "januarie februarie maart/mrt april mei junie julie augustus september oktober november desember",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
    "da": "januar februar marts april maj juni juli august september oktober november december",
    "no": "januar februar mars april mai juni juli august september oktober november desember",
    "is": "januar februar mars april mai juni juli agust september oktober november desember",
    "pl": "styczen/stycznia luty/lutego marzec/marca kwiecien/kwietnia maj/maja czerwiec/czerwca lipiec/lipca "
    "sierpien/sierpnia wrzesien/wrzesnia pazdziernik/pazdziernika listopad/listopada grudzien/grudnia",
    "cs": "leden/ledna unor/unora brezen/brezna duben/dubna kveten/kvetna cerven/cervna/cvn cervenec/cervence/cvc "
    "srpen/srpna zari rijen/rijna listopad/listopadu prosinec/prosince",
    "sk": "januar/januara februar/februara marec/marca april/aprila maj/maja jun/juna jul/jula august/augusta "
    "september/septembra oktober/oktobra november/novembra december/decembra",
    "sl": "januar/januarja februar/februarja marec/marca april/aprila maj/maja junij/junija julij/julija "
    "avgust/avgusta september/septembra oktober/oktobra november/novembra december/decembra",
    "hr": "sijecanj/sijecnja veljaca/veljace ozujak/ozujka travanj/travnja svibanj/svibnja lipanj/lipnja srpanj/srpnja "
    "kolovoz/kolovoza rujan/rujna listopad/listopada studeni/studenoga/studenog prosinac/prosinca",
    "sr": "januar/januara/јануар/јануара februar/februara/фебруар/фебруара mart/marta/март/марта "
    "april/aprila/април/априла maj/maja/мај/маја jun/juni/juna/јун/јуни/јуна jul/juli/jula/јул/јули/јула "
    "avgust/avgusta/август/августа septembar/septembra/септембар/септембра oktobar/oktobra/октобар/октобра "
    "novembar/novembra/новембар/новембра decembar/decembra/децембар/децембра",
    "hu": "januar februar marcius aprilis majus junius julius augusztus szeptember oktober november december",
    "ro": "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie/noe decembrie",
    "et": "jaanuar veebruar marts aprill mai juuni juuli august september oktoober november detsember",
    "lv": "janvaris/janvari februaris/februari marts aprilis/aprili maijs junijs/junija julijs/julija augusts "
    "septembris/septembri oktobris/oktobri novembris/novembri decembris/decembri",
    "lt": "sausis/sausio vasaris/vasario kovas/kovo balandis/balandzio geguze/geguzes birzelis/birzelio liepa/liepos "
    "rugpjutis/rugpjucio rugsejis/rugsejo spalis/spalio lapkritis/lapkricio gruodis/gruodzio",
    "tr": "ocak subat mart nisan mayis haziran temmuz agustos eylul ekim kasim aralik",
    "id": "januari februari maret april mei juni juli agustus/agt september oktober november desember",
    "ms": "januari februari mac april mei jun julai ogos september oktober november disember",
    "ru": "январь/января февраль/февраля март/марта апрель/апреля май/мая июнь/июня июль/июля август/августа "
    "сентябрь/сентября октябрь/октября ноябрь/ноября декабрь/декабря",
    "uk": "січень/січня лютий/лютого березень/березня квітень/квітня травень/травня червень/червня липень/липня "
    "серпень/серпня вересень/вересня жовтень/жовтня листопад/листопада грудень/грудня",
    "bg": "януари февруари март април май юни юли август септември октомври ноември декември",
    "el": "ιανουαριος/ιανουαριου φεβρουαριος/φεβρουαριου μαρτιος/μαρτιου απριλιος/απριλιου μαιος/μαιου ιουνιος/ιουνιου "
    "ιουλιος/ιουλιου αυγουστος/αυγουστου σεπτεμβριος/σεπτεμβριου οκτωβριος/οκτωβριου νοεμβριος/νοεμβριου "
    "δεκεμβριος/δεκεμβριου",
    "en": "january/jan february/feb march/mar april/apr may june/jun july/jul august/aug september/sep/sept "
    "october/oct november/nov december/dec",
    "fi": re.sub(r"(\w+)", r"\1/\1k/\1kuu/\1kuuta/\1kuun/\1kuussa", _FINNISH),
}
# Other beginnings of these are no abbreviations: Januar is German, and mar is March nearly everywhere, not marraskuu.
_WHOLE = ("en", "fi")
# Monday to Sunday; any beginning of two letters or more is an abbreviation.
_WEEKDAYS = """
monday tuesday wednesday thursday friday saturday sunday
montag dienstag mittwoch donnerstag freitag samstag/sonnabend sonntag
lundi mardi mercredi jeudi vendredi samedi dimanche
lunes martes miercoles jueves viernes sabado domingo
lunedi martedi mercoledi giovedi venerdi sabato domenica
segunda terca quarta quinta sexta sabado domingo
dilluns/dl dimarts/dt dimecres/dc dijous/dj divendres/dv dissabte/ds diumenge/dg
maandag dinsdag woensdag donderdag vrijdag/vrydag zaterdag/saterdag zondag
mandag tisdag/tirsdag/tysdag onsdag torsdag fredag lordag/laurdag sondag
manudagur þriðjudagur miðvikudagur fimmtudagur fostudagur laugardagur sunnudagur
maanantai/maanantaina tiistai/tiistaina keskiviikko/keskiviikkona torstai/torstaina perjantai/perjantaina
 lauantai/lauantaina sunnuntai/sunnuntaina
poniedzialek/pn wtorek sroda czwartek/cz piatek/pt sobota niedziela/nd
pondeli utery streda ctvrtek patek sobota nedele
pondelok utorok streda stvrtok piatok sobota nedela
ponedeljek torek sreda cetrtek petek sobota nedelja
ponedjeljak/ponedeljak utorak srijeda/sreda cetvrtak petak subota nedjelja/nedelja
понедељак уторак среда четвртак петак субота недеља
hetfo kedd szerda csutortok pentek szombat vasarnap
luni marti miercuri joi vineri sambata/simbata duminica
esmaspaev teisipaev kolmapaev neljapaev reede laupaev puhapaev
pirmdiena otrdiena tresdiena ceturtdiena piektdiena/pk sestdiena svetdiena
pirmadienis/pr antradienis treciadienis ketvirtadienis/kt penktadienis/pn sestadienis/st sekmadienis/sk
pazartesi/pzt sali carsamba persembe cuma cumartesi/cmt pazar
senin selasa rabu kamis jumat sabtu minggu
isnin selasa rabu khamis jumaat sabtu ahad
понедельник/пн вторник/вт среда/ср четверг/чт пятница/пт суббота/сб воскресенье/вс
понеділок/пн вівторок/вт середа/ср четвер/чт пятниця/пт субота/сб неділя/нд
понеделник/пн вторник/вт сряда/ср четвъртък/чт петък/пт събота/сб неделя/нд
δευτερα τριτη τεταρτη πεμπτη παρασκευη σαββατο κυριακη
""".replace("\n ", " ")
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "ı": "i", "đ": "d", "æ": "ae", "œ": "oe", "ʼ": None, "’": None})


def folded(word: str) -> str:
    """Return a word in lower case without accents."""
    parts = unicodedata.normalize("NFKD", word.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part)).translate(_LETTERS)


@functools.lru_cache(4096)
def months_of(word: str) -> dict[str, int]:
    """Return the month, 1 to 12, that a `folded` word names, by language; {} if it names none."""
    names, _ = _tables()
    found = {language: _meant(each, word, 99 if language in _WHOLE else 3) for language, each in names.items()}
    return {language: months[0] + 1 for language, months in found.items() if len(months) == 1}


@functools.lru_cache(4096)
def weekdays_of(word: str) -> frozenset[int]:
    """Return the weekdays, Monday 0 to Sunday 6, that a `folded` word names in any language."""
    return frozenset(day for names in _tables()[1] for day in _meant(names, word, 2))


Names = list[list[str]]  # the months or weekdays of a language in order, each with its synonyms


@functools.cache
def _tables() -> tuple[dict[str, Names], list[Names]]:
    """Parse the tables; return the names of months by language, and a list of those of weekdays."""
    months = {language: _names(line) for language, line in _MONTHS.items()}
    return months, [_names(line) for line in _WEEKDAYS.strip().splitlines()]


def _names(line: str) -> Names:
    """Split a line of a table into names and their synonyms."""
    return [names.split("/") for names in folded(line).split()]


def _meant(names: Names, word: str, least: int) -> list[int]:
    """Return the indices of the names that are `word`, or begin with it if it has `least` letters; [] for none.

    If there are none, return those of the names that begin with it, if it has `least` letters or more.
    """
    begun = [i for i, each in enumerate(names) if len(word) >= least and any(name.startswith(word) for name in each)]
    return [i for i, each in enumerate(names) if word in each] or begun
