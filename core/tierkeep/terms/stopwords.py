"""Stop words of the languages that are recognised besides English; each word as it is written, in lower case. Written by hand."""

from __future__ import annotations

__all__ = ["ARABIC_STOP", "HINTS", "RUSSIAN_STOP", "STOP", "WEAK"]

_GERMAN = """
    der die das den dem des ein eine einen einem einer eines und oder aber denn sondern doch ich du er sie es wir ihr mich dich ihn
    uns euch mir dir ihm ihnen mein meine meinen meinem meiner meines dein deine deinen deinem deiner deines sein seine seinen seinem
    seiner seines ihre ihren ihrem ihrer ihres unser unsere unseren unserem unserer euer eure euren eurem bin bist ist sind seid war
    warst waren wart gewesen werde wirst wird werden wurde wurden worden habe hast hat haben habt hatte hattest hatten hätte hätten
    gehabt kann kannst können konnte konnten muss musst müssen musste mussten soll sollst sollte sollten will willst wollen wollte
    wollten möchte möchten darf mag nicht nein ja kein keine keinen keinem keiner nichts auch noch nur schon sehr so wie als wenn dass
    ob weil damit in im ins an am ans auf aus bei beim mit nach von vom zu zum zur für über unter vor zwischen durch gegen ohne um bis
    seit während wegen was wer wen wem wessen wo wohin woher wann warum wieso weshalb welche welcher welches welchen welchem dieser
    diese dieses diesen diesem jener jene man sich selbst hier da dort dann mal eben halt also etwas alle alles allem allen einmal
    euch wäre würde würden
"""
_SPANISH = """
    el la los las lo un una unos unas al del y e o u pero sino ni que como cuando donde si de a en con por para sin sobre entre hasta
    desde hacia según durante mi mis tu tus su sus nuestro nuestra nuestros nuestras vuestro vuestra mío mía tuyo tuya suyo suya yo tú
    él ella usted ustedes nosotros nosotras vosotros ellos ellas me te se nos os le les mí ti este esta esto estos estas ese esa eso
    esos esas aquel aquella aquello aquellos soy eres es somos son era eras éramos eran fui fuiste fue fuimos fueron ser sido siendo
    estoy estás está estamos están estaba estaban estuve estuvo estar estado he has ha hemos han había habían hay hubo haber tengo
    tienes tiene tenemos tienen tenía no sí ya también tampoco muy más menos tan tanto aún todavía sólo solo qué quién quiénes cuál
    cuáles cuándo dónde adónde cómo cuánto cuánta cuántos cuántas porque pues así aunque mientras entonces luego todo toda todos todas
    otro otra otros otras cada algo nada nadie alguien mismo misma
"""
_FRENCH = """
    le la les un une des du de d l à au aux et ou mais ni que qui quoi dont où quand comment pourquoi combien quel quelle quels quelles
    je j tu il elle on nous vous ils elles me m te t se s moi toi lui leur leurs eux mon ma mes ton ta tes son sa ses notre nos votre
    vos ce c cet cette ces cela ça en y dans sur sous par pour avec sans chez entre vers depuis pendant avant après suis es est sommes
    êtes sont étais était étaient été être ai as a avons avez ont avais avait avaient eu avoir fais fait ne n pas plus non oui si très
    aussi encore déjà toujours jamais tout toute tous toutes même mêmes autre autres comme donc alors puis parce qu
"""
_PORTUGUESE = """
    o a os as um uma uns umas de do da dos das em no na nos nas ao aos à às por pelo pela pelos pelas para com sem sobre entre até
    desde e ou mas nem que como quando onde se porque quem qual quais quanto quantos quantas eu tu você vocês ele ela nós eles elas me
    te lhe lhes meu minha meus minhas teu tua seu sua seus suas nosso nossa nossos nossas este esta isto estes estas esse essa isso
    esses essas aquele aquela aquilo sou és é somos são era eram fui foi fomos foram ser sido estou está estamos estão estava estavam
    estive esteve estar tenho tem temos têm tinha havia há não sim já também muito mais menos ainda só todo toda todos todas outro
    outra cada algo nada ninguém alguém mesmo mesma
"""
_ITALIAN = """
    il lo la i gli le un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dallo dalla dai dagli dalle in
    nel nello nella nei negli nelle con su sul sullo sulla sui sugli sulle per tra fra e ed o ma né che chi cui come quando dove perché
    quale quali quanto quanta quanti quante io tu lui lei noi voi loro mi ti si ci vi me te mio mia miei mie tuo tua tuoi tue suo sua
    suoi sue nostro nostra nostri nostre questo questa questi queste quello quella quelli quelle sono sei è siamo siete ero era erano
    stato stata essere sto stai sta stiamo stanno ho hai ha abbiamo avete hanno avevo aveva avevano avuto avere non sì già anche molto
    più meno ancora solo tutto tutta tutti tutte altro altra altri altre ogni cosa qualcosa niente nessuno
"""
_DUTCH = """
    de het een en of maar want dat die dit deze ik jij je hij zij ze wij we jullie u mij me jou hem haar ons hen hun mijn jouw zijn
    onze ben bent is was waren geweest word wordt worden werd werden heb hebt heeft hebben had hadden gehad kan kunt kunnen kon konden
    moet moeten moest zal zullen zou zouden wil willen wilde mag niet geen nee ja wel ook nog al heel zeer zo als dan toen omdat in
    op aan uit bij met naar van voor over onder tussen door tegen zonder om tot sinds te ter wat wie waar waarom wanneer hoe welke
    welk hier daar er iets niets alles alle men zich zelf
"""
_RUSSIAN = """
    и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от меня еще ещё нет о
    из ему когда даже ну ли если уже или ни быть был была были него до вас опять вам ведь там потом себя ничего ей они тут где есть
    надо ней для мы тебя их чем сам чтоб без чего раз тоже себе под кто этот того потому этого какой какая какие каком ним здесь этом
    мой моя моё моё мои моего моей моих нас нам наш наша тебе твой твоя про об эта это эти который которая
"""
_ARABIC = """
    في من الى على عن مع هذا هذه ذلك تلك هو هي هم هن نحن انا انت انتم ان او ثم لكن بل لا لم لن ما ماذا متى اين كيف لماذا هل كم اي
    كان كانت كنت كنا يكون تكون قد لقد كل بعض غير بين حتى اذا لو التي الذي الذين اللذان به بها له لها لي لك لنا لهم فيه فيها منه
    منها عليه عليها اليه اليها عند عندي عندما منذ قبل بعد حين حيث ايضا فقط جدا يا هنا هناك لان مثل انه انها انني اني ولا وما وهو وهي
    ومن وفي كما مني معي عنه عنها ليس ليست
"""

STOP: dict[str, frozenset[str]] = {
    "spanish": frozenset(_SPANISH.split()),
    "french": frozenset(_FRENCH.split()),
    "portuguese": frozenset(_PORTUGUESE.split()),
    "italian": frozenset(_ITALIAN.split()),
    "german": frozenset(_GERMAN.split()),
    "dutch": frozenset(_DUTCH.split()),
}
"""Stop words of the languages in Latin script, under their Snowball names; the order decides ties between them."""

RUSSIAN_STOP = frozenset(_RUSSIAN.split())
ARABIC_STOP = frozenset(_ARABIC.split())
"""Without diacritics, alef without hamza."""

HINTS: dict[str, frozenset[str]] = {
    "spanish": frozenset(
        "ayer anteayer anoche antier hoy mañana hace lunes martes miércoles jueves viernes sábado enero febrero marzo mayo junio julio "
        "septiembre setiembre octubre noviembre diciembre semana semanas año años días meses pasado pasada próximo próxima viene "
        "verano otoño invierno primavera vivo vive viven trabajo trabaja gusta gustan hermano hermana hermanos perro gato amigos hola "
        "gracias bueno buena mejor "
        "quiero quiere puedo puede fuimos llama llamo cumpleaños".split()
    ),
    "french": frozenset(
        "hier demain semaine année jours mois dernier dernière prochain prochaine habite travaille aime frère sœur chien chat ami amie "
        "bonjour merci lundi mardi mercredi jeudi vendredi samedi dimanche".split()
    ),
    "portuguese": frozenset(
        "ontem hoje amanhã semana ano anos dias mês passada próxima mora trabalha gosto gosta irmão irmã cachorro obrigado obrigada".split()
    ),
    "italian": frozenset(
        "ieri oggi domani settimana anno anni giorni mese scorso scorsa prossimo prossima abita abito lavora lavoro piace fratello "
        "sorella gatto ciao grazie".split()
    ),
    "german": frozenset(
        "gestern vorgestern heute morgen übermorgen letzte letzten letzter letztes nächste nächsten nächster nächstes vorletzte "
        "vorletzten vorletztes kommende kommenden montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag januar jänner "
        "februar märz mai juni juli oktober dezember woche wochen jahr jahre jahren tage tagen monat monate monaten wochenende "
        "sommer frühling frühjahr herbst wohne wohnt arbeite arbeitet heiße heißt heisst hallo danke bitte mag bruder hund "
        "katze freundin gern gerne".split()
    ),
    "dutch": frozenset("gisteren vandaag week jaar weken dagen woon woont werkt broer zus hond kat graag bedankt".split()),
}
"""Words that tell the language as stop words do, most of them of time, and are terms."""

_ENGLISH_TOO = """
    los las les des das die der den del mes mis man mit nos nun pan par per pas para plus pour sin sur sei sans sue sono ses ser sol ton
    tout tous van via war was wen wer wel will art also bin ben bis but can car casa chi come con com dem den dis doe dos est fan far fin
    for fort fui fur had has hat hem hut han ihr ins kan kin lang lei loro lui mag mas mia mio moi mon mal eben halt alle seit mehr tot
    toi uns vos want wart wat wie worden word out over under men dit dan dat door als aan met een son mai mayo mano marzo morgen ayer
    enero elle elles nous vous qui que non sta hai ho tra fra suo todo toda pasado ten tem ate sou era eras alle alles hier hit dir vom
    von zum hay cosa mie tue sue suis aux ont eu fait avec chez entre sous lunes martes juli juni julio junio tage dort ele sui uma tan
    comme cada otra solo sole mein sie due lo qua tre nada algo luego dove serie pues ach mercy hoy ora note mode ella ellos usted ons
    comment unser bei week kat hond pace chat ami merci ciao mora gusta gato hola gracias viva amigos danke perro
"""
WEAK = frozenset(_ENGLISH_TOO.split()) | {word for stop in STOP.values() for word in stop if len(word) < 3 and word.isascii()}
"""Stop words that are English words, names or abbreviations as well: it takes several of them to tell a language."""
