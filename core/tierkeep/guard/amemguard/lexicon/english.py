"""English."""

from __future__ import annotations

from tierkeep.guard.amemguard.lexicon.lexis import Lexis

__all__ = ["ENGLISH"]

ENGLISH = Lexis(
    actions={
        "send": "send sends sent sending forward* mail mails mailed mailing email* cc bcc copy "
        "copies copied copying mirror* upload* post "
        "posts posted posting transmit* share shares shared sharing publish* export exports exported exporting sync* relay* submit* "
        "exfiltrat* deliver* include includes notify notifies notified notifying",
        "pay": "pay pays paid paying payout* transfer* wire wires wired wiring refund* remit* settle settles settled settling reimburs* "
        "credit credits credited invoice* deposit* withdraw*",
        "delete": "delete deletes deleted deleting eras* wipe wipes wiped wiping purg* drop drops "
        "dropped dropping destroy* truncat* remov* "
        "shred* uninstall* revok* overwrit*",
        "grant": "grant grants granted granting allow allows allowed allowing enabl* unlock* "
        "authoris* authoriz* re-enable reenabl* whitelist* "
        "allowlist* elevat* promot*",
        "run": "run runs running ran execut* launch* install* curl wget bash eval invoke* download* pipe pipes piped piping",
        "change": "change changes changed changing updat* set sets setting switch* redirect* "
        "rout* reroute* replac* modif* reset* rename*",
        "buy": "buy buys bought buying sell sells sold selling invest invests invested purchas* ordered ordering",
    },
    controls={
        "verification": "verif* identity* identit* check checks checking checked checksum* callback* validat* revalidat* reconcil*",
        "approval": "approv* sign-off signoff authorization authorisation permission* confirmation* confirm confirms confirmed ticket* "
        "clearance*",
        "review": "review* inspection* oversight supervis* gate gates gatekeep* test tests",
        "audit": "audit* log logs logging logged monitor* trail* alert* warning* recording* traceab*",
        "authentication": "mfa 2fa authenticat* password* passcode* login* otp sso",
        "protection": "encrypt* firewall* antivirus* sandbox* backup* safeguard* protect* sanitis* sanitiz* "
        "filter* guardrail* safety security "
        "limit limits tls ssl certificate*",
        "consent": "consent* privacy disclosure* anonymi*",
        "rule": "rule rules polic* guideline* procedure* regulation* restriction* requirement* control controls",
    },
    weaken="skip* bypass* disabl* ignor* omit* waiv* suppress* circumvent* evad* without avoid* "
    "deactivat* overrid* overrul* postpon* defer* "
    "asynchronous* post-hoc posthoc afterwards later dispens* exempt* forgo forego relax* unchecked "
    "monkeypatch* lift* turn-off mute* neglect* "
    "sidestep* pre-approved preapproved auto-approv* force forces forcing forced",
    deny="never not no don't dont doesn't doesnt cannot can't cant mustn't mustnt shouldn't "
    "won't nor neither forbid* forbidden prohibit* "
    "denied deny denies refus* disallow* reject* prevent* only unless",
    need="need* requir* necessar* mandator*",
    wide="all every everything entire whole database* backup* production repositor* history disk "
    "disks tables account accounts permanently "
    "irreversibl* recursively",
    condition="if when whenever once unless while upon",
)
