#!/usr/bin/env python3
"""Runs every command line of docs/OPERATIONS.md where it stands in the story, against real gateways: `make operations`.

Each part makes the disaster or the change that the page speaks of, does what the page says, and holds that what was to
come of it has come. A block that no part runs is an error, as is a line that fails."""

import concurrent.futures
import json
import sys
import time

from page import Page
from world import World, free_port, wait_for

PAGE = Page()


def part(world, heading, *numbers):
    """Runs these blocks under the heading, or all; gives what they print."""
    numbers = numbers or range(len(PAGE.blocks[heading]))
    return "".join(world.sh(PAGE.block(heading, number)) for number in numbers)


def key_of(text):
    """The key among what was printed."""
    return next(word for word in text.split() if word.startswith("kf_live_"))


def issue(world, client="acme"):
    return key_of(world.sh(f"keyferry key issue --client {client}"))


def wait_for_status(world, key, status):
    for number in range(2):
        wait_for(f"{status} by the key", lambda: world.by_key(key, number=number) == status)


def secrets(world):
    """Every secret is changed while both gateways run, and no client notices."""
    key = issue(world)
    wait_for_status(world, key, 200)

    world.certificate("servers", "server", "subjectAltName=DNS:api.example.com", "serverAuth")
    told = part(world, "The API's own certificate")
    assert "keyferry_tls_certificate_not_after_timestamp_seconds" in told, told

    world.authority("next")
    world.certificate("next", "next-client", "subjectAltName=DNS:new.example.com", "clientAuth")
    world.sh("cat next.pem >> clients.pem")
    assert "verified" in part(world, "Authorities of clients")
    assert world.by_certificate("next-client") == 200

    world.sh("openssl ca -version > /dev/null 2>&1 || true; touch index; echo 01 > number; "
             "printf '[ca]\\ndefault_ca=a\\n[a]\\ndatabase=index\\ncrlnumber=number\\ndefault_md=sha256\\n' > ca.cnf; "
             "for ca in clients next; do openssl ca -gencrl -config ca.cnf -crldays 3 -cert $ca.pem -keyfile $ca.key "
             "-out new.pem; mv new.pem crl/$ca.pem; done")
    world.configure(crl=True)
    world.metric_is('keyferry_crl_usable{ca="clients"}', 1)
    assert "keyferry_crl_next_update_timestamp_seconds" in part(world, "Revocation lists")
    assert world.by_certificate() == 200

    part(world, "The key of session tickets")
    assert world.by_certificate() == 200

    part(world, "Signing secrets of backends", 0)
    assert world.by_key(key) == 200 and world.signed() == ["orders-1"]
    world.configure(signing="orders-2")
    part(world, "Signing secrets of backends", 1)
    world.metric_is('keyferry_secret_current{kind="signing",name="orders-2"}', 1)
    assert world.by_key(key) == 200 and world.signed() == ["orders-2"]

    part(world, "Peppers", 0)
    world.configure(peppers=[1, 2], current=1)
    assert 'name="2"} 0' in part(world, "Peppers", 1)
    world.metric_is('keyferry_secret_current{kind="pepper",name="2"}', 0)
    # Not before it is used, and no key needs the first.
    world.configure(peppers=[2], current=None)
    world.sh("keyferry reload", status=1)
    world.configure(peppers=[1, 2])
    part(world, "Peppers", 2)
    world.metric_is('keyferry_secret_current{kind="pepper",name="2"}', 1)
    assert world.by_key(key) == 200
    # The metric is counted every so often, and may still be of before the key.
    status = "keyferry store status --output json"
    wait_for("the new digest", lambda: "1" not in json.loads(world.sh(status))["keys_by_pepper"])
    world.metric_is('keyferry_keys{pepper="1"}', 0)
    world.configure(peppers=[2])
    part(world, "Peppers", 3)
    world.metric_is('keyferry_secret_current{kind="pepper",name="1"}', None)

    part(world, "Record keys", 0)
    world.configure(record_keys=[1, 2])
    part(world, "Record keys", 1)
    world.metric_is('keyferry_secret_current{kind="record_key",name="2"}', 0)
    world.configure(record_keys=[2, 1])
    part(world, "Record keys", 2)
    world.metric_is('keyferry_store_records{record_key="1"}', 0)
    world.configure(record_keys=[2])
    part(world, "Record keys", 3)
    world.metric_is('keyferry_secret_current{kind="record_key",name="1"}', None)

    part(world, "Secrets of fronts", 0)
    world.configure(front=["front-1.secret", "front-2.secret"])
    part(world, "Secrets of fronts", 1)
    world.configure(front=["front-2.secret"])
    part(world, "Secrets of fronts", 2)
    wait_for_status(world, key, 200)
    assert world.by_certificate() == 200


def redis_password(world):
    """The gateways' own user of Redis gets another password; no client notices."""
    world.sh("openssl rand -hex 32 > redis.password; chmod 600 redis.password")
    world.sh("printf '>%s' $(cat redis.password) | redis-cli -u $REDIS -x ACL SETUSER keyferry on '~*' '&*' +@all")
    world.configure(redis_user="keyferry@")
    for number in range(2):
        world.restart(number)
    key = issue(world)
    assert "restart" in part(world, "The password of Redis", 0)
    for number in range(2):
        world.restart(number)
        assert world.by_key(key, number=1 - number) == 200
    part(world, "The password of Redis", 1)
    world.sh(f"{world.redis_cli} client kill type normal skipme yes; {world.redis_cli} client kill type pubsub || true")
    wait_for_status(world, issue(world), 200)


def look(world):
    """What is looked at first."""
    told = part(world, "At three in the morning")
    assert "→" in told and "certificate_added" in told, told


def upgrade(world):
    key = issue(world)
    wait_for_status(world, key, 200)
    part(world, "Upgrading", 0)
    before = world.gateways[0]
    world.gateways[0] = world.start_gateway(0, "--upgrade")
    assert before.wait(60) == 0
    told = part(world, "Upgrading", 1)
    assert "keyferry_reload_success 1" in told and "keyferry_build_info" in told, told
    assert world.by_key(key) == 200


def restore_drill(world):
    part(world, "Backup")
    told = part(world, "The drill")
    assert "acme" in told, told


def lost(world):
    """What was revoked after the backup stays revoked, what was issued before it goes on."""
    kept, revoked = issue(world), issue(world)
    part(world, "Backup")
    world.sh(f"keyferry key revoke {revoked.split('_')[2]}")
    wait_for_status(world, revoked, 401)
    world.sh(f"{world.redis_cli} flushall")
    world.metric_is("keyferry_store_lost", 1)
    assert world.by_key(kept) == 200
    part(world, "Redis has lost everything", 0)
    world.metric_is("keyferry_store_lost", 0)
    world.metric_is("keyferry_tombstones", 0)
    part(world, "Redis has lost everything", 1)
    wait_for_status(world, kept, 200)
    wait_for_status(world, revoked, 401)


def older(world):
    """An older copy comes back. Gateways uphold what it does not know, the backup has the rest."""
    revoked = issue(world)
    wait_for_status(world, revoked, 200)
    world.sh(f"{world.redis_cli} --rdb copy.rdb")
    world.sh(f"keyferry key revoke {revoked.split('_')[2]}")
    later = issue(world)
    wait_for_status(world, later, 200)
    wait_for_status(world, revoked, 401)
    part(world, "Backup")
    world.start_from("copy.rdb")
    heading = "Redis came back with an older copy"
    for number in range(2):
        loss = "keyferry_store_epoch_regressions_total"
        wait_for("the alarm", lambda: (world.metric(loss, number) or 0) > 0)
    world.metric_is("keyferry_tombstones", 0)
    part(world, heading)
    wait_for_status(world, revoked, 401)
    wait_for_status(world, later, 200)


def region(world):
    """Another Redis, empty: restored before a gateway starts on it."""
    key = issue(world)
    wait_for_status(world, key, 200)
    part(world, "Backup")
    for gateway in world.gateways:
        gateway.kill()
        gateway.wait()
    world.redis.kill()
    world.redis.wait()
    world.redis = world.start_redis(free_port())
    world.configure()
    part(world, "A region is lost")
    world.gateways = [world.start_gateway(number) for number in range(2)]
    wait_for_status(world, key, 200)
    assert world.by_certificate() == 200


def leaked(world):
    key = issue(world)
    wait_for_status(world, key, 200)
    part(world, "The key of a client leaked")
    new = (world.path / "new-key").read_text().strip()
    wait_for_status(world, key, 401)
    wait_for_status(world, new, 200)


def pepper_lost(world):
    key = issue(world)
    wait_for_status(world, key, 200)
    world.sh("rm pepper-1.key")
    world.metric_is("keyferry_reload_success", 0)
    assert world.by_key(key) == 200
    part(world, "The pepper is lost", 0)
    world.configure(peppers=[2])
    part(world, "The pepper is lost", 1)
    world.sh("keyferry reload", status=1)
    assert world.by_key(key) == 200
    for number in range(2):
        world.restart(number)
    assert world.by_key(key) == 401
    assert world.by_certificate() == 200
    part(world, "The pepper is lost", 2)
    new = (world.path / "new-key").read_text().strip()
    wait_for_status(world, new, 200)


def authority(world):
    """Who calls by key notices nothing, whoever calls by a certificate of the authority is refused."""
    key = issue(world)
    wait_for_status(world, key, 200)
    assert world.by_certificate() == 200
    part(world, "An authority of clients is compromised", 0)
    world.authority("successor")
    world.configure(cas=["successor"])
    part(world, "An authority of clients is compromised", 1)
    for number in range(2):
        wait_for("the refusal", lambda: world.by_certificate(number=number) == 401)
    assert "certificate_chain_incomplete" in (world.path / "body").read_text()
    wait_for_status(world, key, 200)


PARTS = [secrets, redis_password, look, upgrade, restore_drill, lost, older, region, leaked, pepper_lost, authority]


def play(run):
    begun = time.monotonic()
    world = World()
    try:
        world.start()
        world.sh("keyferry client add acme")
        world.sh("keyferry certificate add --client acme acme.pem")
        wait_for("the client", lambda: all(world.by_certificate(number=n) == 200 for n in range(2)))
        run(world)
    finally:
        world.close()
    print(f"{run.__name__}: as the page says, {time.monotonic() - begun:.0f} s", flush=True)


def main():
    wanted = sys.argv[1:]
    parts = [run for run in PARTS if not wanted or run.__name__ in wanted]
    # They mostly wait, each for its own gateways.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for played in [pool.submit(play, run) for run in parts]:
            played.result()
    assert wanted or not PAGE.left(), f"nobody runs these blocks of docs/OPERATIONS.md: {PAGE.left()}"


if __name__ == "__main__":
    main()
