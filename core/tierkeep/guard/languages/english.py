"""English."""

from tierkeep.guard.languages.lexicon import Lexicon

ENGLISH = Lexicon(
    negations="not, never, don't, dont, no, cannot, can't, mustn't, shouldn't, neither, nor, avoid, refuse, nobody, forbidden, "
    "prohibited",
    without="without, no, minus, sans",
    weaken="skip*, bypass*, disabl*, waive*, waiving, omit*, circumvent*, suppress*, overrid*, sidestep*, ignor*, disregard*, "
    "exempt*, drop, turn off, switch off, opt out of, work around, look past, relax, lift, remove the",
    ask="ask, asking, verify, verifying, confirm, confirming, check, checking, validate, validating, require, requires, "
    "required, need, needs, needed, wait, waiting, seek, request, requesting, necessary, escalate, consult",
    controls="verification*, approval*, confirmation*, authorization, authorisation, authentication, two-factor*, 2fa, mfa, "
    "consent, validation*, audit*, review, reviews, check, checks, identity, sign-off, signoff, permission, permissions, "
    "safeguard*, compliance, oversight, firewall, antivirus, safety, disclosure, disclosures, reconciliation, registry, "
    "two factor, safety rules, disclosure rules, written record, second person, four eyes, dual control, authorisations, "
    "authorizations, policy, policies",
    act="proceed*, grant*, process, approve, execute, transfer, wire, pay, refund, release, issue, reset, enable, re-enable, "
    "go ahead, carry on, complete, settle, buy, purchase, run, continue",
    egress="send, sends, sending, sent, forward, forwards, forwarded, forwarding, cc, bcc, copy, copies, email, e-mail, mail, "
    "upload, uploads, uploaded, post, posts, share, shares, shared, transfer, transfers, wire, wires, route, routes, "
    "routed, relay, relays, mirror, mirrors, mirrored, sync, syncs, synced, transmit*, submit, export, exports, push, "
    "pushed, pay, pays, remit*, redirect*, divert*, deliver, delivers, report, notify, publish, leak, exfiltrat*, deposit, "
    "back up, include",
    sensitive="password*, credential*, secret*, api_key*, token*, api keys, customer_list, database, dataset*, conversation*, "
    "transcript*, history, memory, memories, profile, personal, confidential, private, messages, contacts, payroll, "
    "passport*, ssn, medical, customer, customers, cookies, inbox, mailbox, backups",
    outside="external, third-party, offsite, off-site, outside, partner, vendor, webhook, endpoint, wallet, server, remote, "
    "archive, mailbox, personal address, private address",
    standing="always, whenever, every, each, everytime, permanently, henceforth, hereafter, going forward, from now on, "
    "from here on, in future, in the future, all future, by default, every time, each time, any time, as a rule, standing, "
    "default, until further notice, future",
    override="ignore, ignoring, disregard, disregarding, forget, override, overrule, discard, abandon, drop",
    rules="instruction*, rule, rules, guideline*, prompt*, directive*, policy, policies, restriction*, constraints, guardrails, "
    "orders, limits",
    prior="previous, prior, above, earlier, all, any, your, other, former, existing, preceding, initial, original, system",
    agents="ai, llm, llms, chatbot*, assistant*, agent, agents, language model, language models, copilot*",
    must="must, shall, should, have to, has to, need to, are required, are instructed, will now, is to, are to",
    remember="remember, memorize, memorise, store, save, note, record, keep, persist, add, retain",
    memory="memory, memories, long-term, profile, permanently, future, preference, preferences",
    hide="tell, mention, reveal, inform, alert, notify, disclose, show, telling, mentioning, informing, explaining, alerting, "
    "noticing",
    user="user, users, anyone, anybody, human, humans, owner, customer, them, operator, administrator, noticed",
    defer="later, afterwards, afterward, asynchronously, post-hoc, retroactively, after the fact, when convenient, subsequently, "
    "at a later, next day, post factum, deferred, defer, postpone",
    rush="immediately, instantly, urgent, urgently, expedited, expedite, right away, on first contact, at once, fast-track, "
    "prioritize, prioritise, asap, without delay, first",
    claim="standing, pre-approved, preapproved, pre-authorized, pre-authorised, preauthorized, already approved, "
    "already authorized, previously approved, previously authorized, approved earlier, confirmed earlier, set earlier, "
    "agreed earlier, as agreed, on file, already agreed, already confirmed",
    consent="preference*, authorization, authorisation, instruction*, consent, approval, permission, mandate, arrangement, "
    "agreement, setting",
    instead="instead, replaces, replaced, supersedes, rather, no longer, new, updated, changed, now, consolidated",
)
