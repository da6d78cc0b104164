"""German."""

from __future__ import annotations

from tierkeep.guard.amemguard.lexicon.lexis import Lexis

__all__ = ["GERMAN"]

GERMAN = Lexis(
    actions={
        "send": "send* sende* schick* verschick* weiterleit* leite leitet übermittel* übertrag* "
        "hochlad* hochgeladen kopie* veröffentlich* "
        "teile teilt mitteil* zusend* zuschick* verschicken",
        "pay": "zahl* bezahl* überweis* überwies* erstatt* rückerstatt* auszahl* vergüt*",
        "delete": "lösch* gelösch* entfern* vernicht* zerstör* tilg* beseitig*",
        "grant": "gewähr* erlaub* freischalt* freigeben entsperr* berechtig* aktivier* zulassen",
        "run": "ausführ* führe starte startet installier* herunterlad* heruntergeladen",
        "change": "änder* geänder* umleit* umgeleitet ersetz* aktualisier* zurücksetz* umstell*",
        "buy": "kauf* gekauft verkauf* bestell* buche bucht gebucht investier*",
    },
    controls={
        "verification": "prüf* überprüf* verifizier* verifikation* identität* rückruf* kontroll* nachweis*",
        "approval": "genehmig* freigabe* zustimm* bestätig* erlaubnis*",
        "review": "begutacht* aufsicht* vier-augen* vieraugen* abnahme*",
        "audit": "protokoll* aufzeichn* überwach* warnung* nachverfolg*",
        "authentication": "passwort* passwört* kennwort* anmeld* authentifizier* zwei-faktor* zweifaktor*",
        "protection": "verschlüssel* schutz* sicherheit* sicherung* virenscann* sperre* obergrenze*",
        "consent": "einwillig* datenschutz* offenleg*",
        "rule": "regel* richtlinie* vorschrift* vorgabe* auflage*",
    },
    weaken="überspring* überspringt umgeh* deaktivier* abschalt* ausschalt* ignorier* auslass* weglass* "
    "ohne verzicht* unterlass* aussetz* "
    "nachträglich* später aufschieb* übergeh* unterdrück* außer-kraft entfällt entfallen",
    deny="nicht nie niemals kein keine keinen keinem keiner verboten verbiete* untersag* darf-nicht abgelehnt ablehn* unzulässig",
    need="nötig* notwendig* erforderlich* brauch* benötig* bedarf",
    wide="alle alles sämtlich* gesamt* komplett* datenbank* produktiv* endgültig* verlauf unwiderruflich* konten",
    condition="wenn falls sobald sofern sooft",
)
