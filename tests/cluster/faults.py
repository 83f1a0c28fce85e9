"""What is done to a fleet, one fault after the other: the kinds, and a plan that a seed makes.

A fault has a second in which it begins and lasts for some more; faults of different parts overlap. Faults of one process
follow each other, and so do those of the database."""
import concurrent.futures
import random
import signal
import threading
import time

LEASE_S = 10  # FLEET_LEASE_MS


class Fault:
    def __init__(self, at, kind, member, seconds, dice):
        self.at, self.kind, self.member, self.seconds, self.dice = at, kind, member, seconds, dice

    def __str__(self):
        return f"{self.at:6.1f} s  {self.kind.__name__}, process {self.member}, {self.seconds:.1f} s"


# ---- A process ----

def killed(fleet, fault):
    """As a power cut for one process, which comes again after a while."""
    member = fleet.members[fault.member]
    with member.busy:
        member.kill()
        time.sleep(fault.seconds)
        member.start()


def stopped(fleet, fault):
    """It stands still for twice its lease, and goes on as if nothing had happened."""
    member = fleet.members[fault.member]
    with member.busy:
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(2 * LEASE_S)
        member.process.send_signal(signal.SIGCONT)


def paused(fleet, fault):
    """It stands still for less than its lease."""
    member = fleet.members[fault.member]
    with member.busy:
        member.process.send_signal(signal.SIGSTOP)
        time.sleep(fault.seconds)
        member.process.send_signal(signal.SIGCONT)


def drained(fleet, fault):
    """It is stopped in order, and gives back what it holds."""
    member = fleet.members[fault.member]
    with member.busy:
        code = member.drain()
        assert code == 0, f"process {fault.member} ended with {code}"
        member.start()


# ---- The database ----

def restarted(fleet, fault):
    with fleet.database:
        fleet.pair.primary.restart(fault.dice.choice((signal.SIGINT, signal.SIGQUIT)))
        fleet.pair.caught_up()


def failed_over(fleet, fault):
    with fleet.database:
        fleet.pair.fail_over()
        time.sleep(fault.seconds)
        fleet.pair.rejoin()


# ---- Connections of one process ----

def proxies(fleet, fault):
    """To the database, or to the bucket."""
    number = fault.member
    return fault.dice.choice(([f"{number}-db{i}" for i in range(len(fleet.servers))], [f"{number}-s3"]))


def cut(fleet, fault):
    """Nothing goes through for a while."""
    names = proxies(fleet, fault)
    with fleet.members[fault.member].network:
        for name in names:
            fleet.network.enable(name, False)
        time.sleep(fault.seconds)
        for name in names:
            fleet.network.enable(name, True)


def toxic(kind, stream, **attributes):
    """A fault of toxiproxy's on one process's connections to the database or the bucket."""
    def fault_of(fleet, fault):
        with fleet.members[fault.member].network:
            set_on = [(name, fleet.network.toxic(name, kind, stream, **attributes)) for name in proxies(fleet, fault)]
            time.sleep(fault.seconds)
            for name, made in set_on:
                fleet.network.cure(name, made)
    return fault_of


def silent(fleet, fault):
    """Connections stay open, and no byte comes through: only time tells."""
    toxic("timeout", "downstream", timeout=0)(fleet, fault)


def late(fleet, fault):
    """Statements arrive after the lease of the process that sent them: they are refused by their fences."""
    toxic("latency", "upstream", latency=(LEASE_S + 3) * 1000)(fleet, fault)


def slow(fleet, fault):
    toxic("latency", "downstream", latency=200, jitter=200)(fleet, fault)


def answer_lost(fleet, fault):
    """A connection ends after some bytes of its answers: the one behind a COMMIT may be lost."""
    toxic("limit_data", "downstream", bytes=fault.dice.randrange(50, 5000))(fleet, fault)


def reset(fleet, fault):
    toxic("reset_peer", "downstream", timeout=fault.dice.randrange(0, 300))(fleet, fault)


# ---- The bucket ----

def bucket_broken(fleet, fault):
    """It refuses, fails, does what was asked and says that it failed, cuts off its answers, or is slow."""
    with fleet.bucket_lock:
        fleet.bucket.set(**fault.dice.choice((
            {"refuse": 0.9}, {"refuse": 1.0}, {"fail": 0.5}, {"lose": 0.5}, {"cut": 0.5}, {"delay": 1.0},
            {"refuse": 0.2, "fail": 0.2, "lose": 0.2, "cut": 0.2, "delay": 0.2})))
        time.sleep(fault.seconds)
        fleet.bucket.set()


def bucket_restarted(fleet, fault):
    with fleet.bucket_lock:
        fleet.s3.kill()
        time.sleep(fault.seconds)
        fleet.s3.start()


# kind, its share of the faults, its length in seconds (0: it has its own)
KINDS = ((killed, 20, (0, 3)), (stopped, 5, (20, 20)), (paused, 5, (1, 6)), (drained, 6, (0, 0)), (restarted, 8, (0, 0)),
         (failed_over, 6, (0, 3)), (cut, 10, (1, 14)), (silent, 5, (4, 14)), (late, 4, (15, 15)), (slow, 6, (2, 8)),
         (answer_lost, 8, (2, 6)), (reset, 5, (1, 4)), (bucket_broken, 10, (2, 8)), (bucket_restarted, 2, (0, 3)))


def plan(count, size, seconds, seed):
    """The faults of one run. Each kind comes at least once, when there are enough."""
    dice = random.Random(seed)
    first = [kind for kind, *_ in KINDS] if count >= len(KINDS) else []
    kinds = first + dice.choices([kind for kind, *_ in KINDS], [share for _, share, _ in KINDS], k=count - len(first))
    dice.shuffle(kinds)
    length = {kind: between for kind, _, between in KINDS}
    faults = []
    for i, kind in enumerate(kinds):
        lasts = dice.uniform(*length[kind])
        at = min((i + dice.random()) * seconds / count, max(0, seconds - lasts))  # the last ones end in time
        faults.append(Fault(at, kind, dice.randrange(size), lasts, random.Random(dice.random())))
    return sorted(faults, key=lambda fault: fault.at)


AT_ONCE = 64  # faults that last


class Run:
    """Carries out a plan. Its threads live as long as it does: a server that one of them starts would end with the thread."""

    def __init__(self, fleet, faults):
        self.fleet, self.faults = fleet, faults
        self.wrong, self.pending = [], []
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        fleet.database, fleet.bucket_lock = threading.Lock(), threading.Lock()
        for member in fleet.members:
            member.network = threading.Lock()

    def one(self, fault):
        try:
            fault.kind(self.fleet, fault)
        except BaseException as error:  # pylint: disable=broad-except
            self.wrong.append(error)
            raise

    def start(self, say, goes_on):
        """Begins each fault in its second while goes_on(); the number of those that began."""
        begin = time.monotonic()
        for number, fault in enumerate(self.faults):
            while time.monotonic() - begin < fault.at:
                if self.wrong:
                    raise self.wrong[0]
                if not goes_on():
                    return number
                time.sleep(0.05)
            say(str(fault))
            self.pending.append(self.pool.submit(self.one, fault))
        return len(self.faults)

    def end(self):
        """All faults are over, and everything is whole again."""
        concurrent.futures.wait(self.pending)
        if self.wrong:
            raise self.wrong[0]
        self.fleet.network.heal()
