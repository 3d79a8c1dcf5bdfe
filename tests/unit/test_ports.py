from bench.ports import free_port, fresh_listener


def test_no_port_is_given_twice() -> None:
    ports = [free_port() for _ in range(300)]
    with fresh_listener() as listener:
        ports.append(listener.getsockname()[1])
    assert len(set(ports)) == len(ports)
