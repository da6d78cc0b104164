"""French."""

from __future__ import annotations

from tierkeep.guard.amemguard.lexicon.lexis import Lexis

__all__ = ["FRENCH"]

FRENCH = Lexis(
    actions={
        "send": "envoy* envoi* transmet* transmett* transfér* copie copies copier téléverse* partag* publi* expédi* joindre joignez",
        "pay": "pay* vers* virement* rembours* règle* régler débit* crédit*",
        "delete": "supprim* efface* détrui* vide* vider retir* élimin*",
        "grant": "accord* autoris* permet* permett* débloqu* déverrouill* octroy* activ*",
        "run": "exécut* lance* lancer install* télécharg* démarr*",
        "change": "chang* modifi* redirig* rediriger remplac* réinitialis* actualis* détourn*",
        "buy": "achet* achèt* vend* invest* command* réserv*",
    },
    controls={
        "verification": "vérif* vérifi* contrôl* identité* rappel* valid*",
        "approval": "approb* approuv* accord autorisation* permission* confirm* aval",
        "review": "révision* examen* relecture* supervis* surveillance*",
        "audit": "audit* journal* journaux traçab* alerte* avertiss*",
        "authentication": "mot-de-passe authentif* double-facteur",
        "protection": "chiffr* pare-feu protect* sécurit* sauvegard* antivirus*",
        "consent": "consent* confidentialit* divulgat*",
        "rule": "règles règlement* politique* consigne* procédur* exigence* restriction*",
    },
    weaken="saut* omett* omet ignor* désactiv* contourn* sans évit* esquiv* report* ultérieur* après dispens* outrepass* suspend* négli* "
    "passe-outre",
    deny="ne n' pas jamais aucun aucune ni interdi* refus* rejet* uniquement",
    need="nécess* besoin* requis* requise* obligat* exig*",
    wide="tout tous toute toutes entier entière totalité base-de-données historique définitivement comptes",
    condition="si quand lorsque lorsqu dès",
)
