"""Spanish."""

from __future__ import annotations

from tierkeep.guard.amemguard.lexicon.lexis import Lexis

__all__ = ["SPANISH"]

SPANISH = Lexis(
    actions={
        "send": "envi* envía* reenvi* reenvía* mand* remit* copia copias copiar subir sube "
        "suba transmit* compart* public* adjunt* entreg*",
        "pay": "pag* abon* transfier* transfer* reembols* deposit* ingres* cobr*",
        "delete": "elimin* borr* suprim* destru* vaci* quit*",
        "grant": "conced* otorg* permit* habilit* desbloque* autoriz* activ*",
        "run": "ejecut* instal* descarg* lanza* lanzar inicia iniciar",
        "change": "cambi* modific* actualiz* redirig* desvi* desvía* reemplaz* restablec*",
        "buy": "compr* vend* invert* inviert* encarg* reserv*",
    },
    controls={
        "verification": "verific* comprob* comprueb* identidad* validac* validar cotej*",
        "approval": "aprob* aprueb* autorización* autorizaciones permiso* confirm* visto-bueno",
        "review": "revis* inspecc* supervis*",
        "audit": "auditor* registro* bitácora* vigilan* alerta* advertencia*",
        "authentication": "contraseñ* autentic* doble-factor dosfactores",
        "protection": "cifr* cortafuegos protecc* seguridad* respaldo* salvaguard* antivirus*",
        "consent": "consentim* privacidad* divulgac*",
        "rule": "regla* norma normas normativa* polític* directric* procedim* requisito* restricc*",
    },
    weaken="salt* omit* evit* ignor* desactiv* deshabilit* sin esquiv* elud* pospon* posterg* "
    "después prescind* anul* suspend* exim* apag*",
    deny="no nunca jamás ningún ninguna ninguno tampoco prohib* prohíb* rechaz* deneg* denieg* salvo",
    need="neces* requier* hace-falta exig* obligator*",
    wide="todo todos toda todas entero entera completo completa base-de-datos producción historial permanentemente cuentas",
    condition="si cuando siempre-que mientras salvo",
)
