"""Spanish."""

from tierkeep.guard.languages.lexicon import Lexicon

SPANISH = Lexicon(
    negations="no, nunca, jamás, tampoco, ningún, ninguna, prohibido, evita, evite",
    without="sin, ningún, ninguna",
    weaken="omit*, salta*, sáltate, desactiv*, deshabilit*, ignor*, elud*, evad*, suprim*, anul*, prescind*, pasa por alto, "
    "pase por alto, exime, exent*",
    ask="pregunt*, verific*, confirm*, comprueb*, espera*, esperes, esper*, requier*, necesit*, necesari*, pid*, solicit*, "
    "consult*, valid*",
    controls="verificación, verificaciones, aprobación, aprobaciones, confirmación, autorización, autenticación, consentimiento, "
    "validación, revisión, auditoría, control, controles, identidad, permiso, permisos, política*, seguridad, supervisión, "
    "cortafuegos, firma",
    act="proced*, ejecut*, pag*, transfer*, concede*, otorga*, reembols*, aprueb*, complet*, continúa*, realiz*",
    egress="envía*, envíe*, enviar*, envíen, manda*, mande*, reenví*, copia*, sube*, subir, publica*, compart*, transfier*, "
    "transfer*, remit*, pag*, deposit*, desví*, redirig*, notific*, export*, incluye*, cc, bcc",
    sensitive="contraseña*, credencial*, clave, claves, secret*, datos, base de datos, historial, conversación, conversaciones, "
    "memoria, perfil, confidencial*, mensajes, contactos, pago, pagos, factura*, nómina*, pasaporte*, clientes, cliente, "
    "archivos, token*",
    outside="extern*, tercero*, servidor, proveedor*, socio*, cuenta, dirección, buzón, fuera, remot*, cartera, monedero",
    standing="siempre, cada, cuando, permanentemente, a partir de ahora, desde ahora, de ahora en adelante, en adelante, "
    "en el futuro, por defecto, cada vez, todas, todos, cualquier, futuras, futuros",
    override="ignora*, ignore*, olvida*, olvide*, descarta*, anula*, desobedece",
    rules="instrucci*, regla, reglas, norma, normas, directri*, indicaci*, orden, órdenes, prompt*, restricci*",
    prior="anterior*, previ*, todas, todos, tus, sus, tu, arriba, demás, existentes",
    agents="ia, asistente*, chatbot*, agente, agentes, modelo de lenguaje, modelos de lenguaje",
    must="debe, deben, debes, deberá, deberán, tiene que, tienen que, tienes que, ha de, hay que",
    remember="recuerda*, recuerde*, guarda*, guarde*, memoriza*, almacena*, anota*, registra*",
    memory="memoria, permanente*, futur*, perfil, preferencia*, adelante",
    hide="diga*, digas, decir*, menciona*, menciones, revel*, inform*, avis*, notific*, muestr*, cuent*",
    user="usuario*, nadie, persona, dueño, cliente, humano*",
    defer="después, más tarde, posteriormente, a posteriori, luego, con posterioridad",
    rush="inmediatamente, de inmediato, urgente*, cuanto antes, enseguida, primero, ahora mismo",
    claim="ya aprobad*, ya autorizad*, preaprobad*, previamente aprobado, previamente autorizado, preferencia permanente, "
    "ya confirmado, ya aprobado, ya autorizado, preautorizad*, permanente",
    consent="preferencia*, autorización, instrucción, consentimiento, aprobación, acuerdo, permiso, ajuste",
    instead="lugar, nueva, nuevo, nuevos, reemplaza*, sustituy*, cambiad*, actualizad*",
)
