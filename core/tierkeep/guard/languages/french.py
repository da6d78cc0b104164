"""French."""

from tierkeep.guard.languages.lexicon import Lexicon

FRENCH = Lexicon(
    negations="ne, n'*, pas, jamais, aucun, aucune, interdit, évite*, évitez",
    without="sans, aucun, aucune",
    weaken="ignore*, ignorez, saute*, sautez, désactiv*, contourn*, omet*, omettre, supprim*, outrepass*, néglig*, passe outre, "
    "passez outre, dispens*, exempt*",
    ask="demand*, vérifi*, confirm*, attend*, nécessaire*, requis*, exig*, valid*, contrôl*, consult*",
    controls="vérification*, approbation*, confirmation*, autorisation*, authentification, consentement, validation*, contrôle, "
    "contrôles, revue, audit*, identité, permission*, politique*, sécurité, supervision, pare-feu, signature, accord",
    act="procéd*, exécut*, pay*, vire*, virez, accord*, rembours*, approuv*, continu*, effectu*",
    egress="envoi*, envoy*, transmet*, transfèr*, transfér*, copie*, copiez, téléverse*, publi*, partag*, vire*, virez, vers*, "
    "pay*, redirig*, achemin*, export*, ajout*, cc, cci, bcc",
    sensitive="mot de passe, mots de passe, identifiant*, secret*, clé, clés, données, base de données, historique, conversation*, "
    "mémoire, profil, confidentiel*, messages, contacts, paiement*, facture*, salaire*, passeport*, clients, client, "
    "fichiers, jeton*",
    outside="extern*, tiers, serveur, fournisseur*, partenaire*, compte, adresse, boîte, distant*, portefeuille, extérieur*",
    standing="toujours, chaque, désormais, dorénavant, systématiquement, à partir de maintenant, à l'avenir, à chaque fois, "
    "par défaut, lorsque, dès que, tous, toutes, futurs, futures, permanence",
    override="ignore*, ignorez, oublie*, oubliez, écarte*, annule*",
    rules="instruction*, règle*, consigne*, directive*, prompt*, restriction*, ordres",
    prior="précédent*, antérieur*, toutes, tous, tes, vos, ci-dessus, autres, existantes",
    agents="ia, assistant*, chatbot*, agent, agents, modèle de langage, modèles de langage",
    must="doit, doivent, dois, devez, devra, devront, faut, est tenu",
    remember="souviens*, souvenez*, retiens, retenez, mémoris*, enregistr*, note*, notez, conserve*, stocke*",
    memory="mémoire, permanence, futur*, profil, préférence*, avenir",
    hide="dis, dites, dire, mentionn*, révél*, inform*, avert*, prévien*, prévenir, montr*, signal*",
    user="utilisateur*, personne, client, propriétaire, humain*, quiconque",
    defer="plus tard, après coup, ultérieurement, a posteriori, ensuite",
    rush="immédiatement, tout de suite, urgent*, sans délai, sans attendre, d'abord, aussitôt",
    claim="déjà approuvé, déjà autorisé, pré-approuv*, préapprouv*, permanente, déjà validé, comme convenu, préautoris*",
    consent="préférence*, autorisation, instruction, consentement, approbation, accord, réglage, consigne*",
    instead="lieu, plutôt, nouveau, nouvelle, nouveaux, remplac*, modifi*",
)
