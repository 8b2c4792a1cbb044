<?php
// Licensed under the Apache License, Version 2.0; see LICENSE.
//
// The session in five small functions: httpd has put it into $_SERVER, and takes changes as response
// headers. The second argument of header() matters: without `false` a line replaces an earlier one of
// the same name, so that of two calls of remember() only the last would count.

// A value, or null.
function session(string $key): ?string
{
    return $_SERVER["BSESSION_$key"] ?? null;
}

// remember(['user' => 'Ann', 'color' => 'blue'])
function remember(array $pairs): void
{
    header('BSession-Set: ' . http_build_query($pairs), false);
}

function increase(string $key, int $by = 1): void
{
    header('BSession-Incr: ' . http_build_query([$key => $by]), false);
}

// A new token for the same session; say it with every login.
function rotate(): void
{
    header('BSession-Rotate: 1');
}

function destroy(): void
{
    header('BSession-Destroy: 1');
}
