"""What a request asks of Redis, as the server counts it."""
import server

WARM = 50
REQUESTS = 1000


def measure(chosen, work, site, say):
    """{row name: {counter: so many a request}}, by a client that asks one after the other."""
    found = {}
    for row in chosen:
        say(f"demands: {row.title}")
        with row.make_server(work / "demands", "event", site).start() as httpd:
            client = server.Client(httpd)
            cookie = row.seed(client, site)
            for _ in range(WARM):
                client.get(row.path, cookie)
            before = site.redis.counters()
            for _ in range(REQUESTS):
                client.get(row.path, cookie)
            after = site.redis.counters()
            client.close()
        found[row.name] = {name: (count - before.get(name, 0)) / REQUESTS
                           for name, count in after.items() if count > before.get(name, 0)}
    return found
