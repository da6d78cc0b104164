"""German."""

from tierkeep.guard.languages.lexicon import Lexicon

GERMAN = Lexicon(
    negations="nicht, nie, niemals, kein, keine, keinen, keiner, keinesfalls, verboten, untersagt",
    without="ohne, kein, keine, keinerlei",
    weaken="überspring*, umgeh*, deaktivier*, abschalten, abgeschaltet, ausschalten, ignorier*, missacht*, auslass*, aushebel*, "
    "aussetz*, unterlass*, verzicht*, entfällt, außer kraft",
    ask="frag*, prüf*, bestätig*, verifizier*, warte*, erforderlich, nötig, notwendig, benötig*, brauch*, nachfrag*, "
    "rückfrag*",
    controls="prüfung*, überprüfung*, freigabe*, bestätigung*, genehmigung*, zustimmung*, einwilligung*, authentifizierung*, "
    "identität*, identitätsprüfung*, verifizierung*, verifikation*, rückfrage*, kontrolle*, richtlinie*, sicherheit*, "
    "vier-augen-prinzip, protokoll*, zwei-faktor*, firewall, virenschutz, datenschutz*, erlaubnis",
    act="fortfahr*, ausführ*, überweis*, bezahl*, zahle, zahlen, gewähr*, freigeb*, erteil*, erstatt*, auszahl*, abwickel*",
    egress="send*, schick*, verschick*, weiterleit*, leite, leiten, kopier*, übermittel*, überweis*, hochlad*, lade, teile, "
    "übertrag*, melde, zahle, bezahl*, exportier*, veröffentlich*, spiegel*, mail*, bcc, cc",
    sensitive="passwort*, passwörter*, zugangsdaten, anmeldedaten, schlüssel, geheim*, kundendaten, kundenliste*, daten, datenbank*, "
    "verlauf, gespräch*, erinnerung*, profil*, vertraulich*, nachrichten, kontakte, zahlung*, rechnung*, gehalt*, "
    "personalausweis*, akten",
    outside="extern*, drittanbieter*, partner*, server, adresse, konto, postfach, wallet, außen*, archiv*",
    standing="immer, stets, jedes, jedesmal, jeden, jeder, jede, künftig*, zukünftig*, dauerhaft, grundsätzlich, standardmäßig, "
    "fortan, ab jetzt, ab sofort, von nun an, in zukunft, bis auf weiteres, sobald, wann immer, sämtliche",
    override="ignorier*, vergiss, vergesst, missacht*, verwirf, überschreib*",
    rules="anweisung*, regel, regeln, vorgabe*, instruktion*, richtlinie*, prompt*, befehl*, einschränkung*",
    prior="vorherig*, bisherig*, obig*, frühere*, alle, deine, ihre, vorangehend*, vorangegangen*, sämtlich*",
    agents="ki, assistent*, chatbot*, sprachmodell*, agent, agenten, ki-assistent*, ki-modell*, ki-agent*",
    must="muss, müssen, soll, sollen, sollte, hat, haben, sind, verpflichtet, sollst, musst",
    remember="merke, merk, merken, speicher*, notier*, behalte, vermerke",
    memory="gedächtnis, dauerhaft, erinnerung*, profil, künftig*, zukunft, präferenz*",
    hide="sag*, erwähn*, verrat*, informier*, benachrichtig*, zeig*, mitteil*, erzähl*, hinweis*",
    user="nutzer*, benutzer*, niemand*, kunde*, anwender*, menschen, inhaber*",
    defer="später, nachträglich, im nachhinein, hinterher, nachgereicht, nachreichen",
    rush="sofort, umgehend, unverzüglich, dringend*, eilig, vorrangig, zuerst, beschleunigt*",
    claim="bereits genehmigt, bereits freigegeben, vorab genehmigt, vorab freigegeben, wie vereinbart, dauerhafte, ständige, "
    "vorabgenehmigt*",
    consent="präferenz*, einstellung*, anweisung*, zustimmung*, genehmigung*, vereinbarung*, freigabe*, vollmacht*",
    instead="statt, stattdessen, anstelle, anstatt, neu, neue, neues, ersetzt, geändert*",
)
