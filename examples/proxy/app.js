// Licensed under the Apache License, Version 2.0; see LICENSE.
//
// A site as a server of its own, which knows nothing of sessions but headers. What the session holds
// comes as BSession-Data, encoded as a form is; what it is to hold goes out as BSession-* headers. It
// needs no module. Nobody but httpd may reach it: whoever does could say who he is.
'use strict';

const http = require('http');

const ENTITY = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const html = (text) => text.replace(/[&<>"']/g, (character) => ENTITY[character]);

const session = (request) => new URLSearchParams(request.headers['bsession-data']);

const HELLO = (user) => `<p>Hello <strong>${html(user)}</strong>.
<form method="post" action="/logout"><button>Log out</button></form>`;
const LOGIN = `<form method="post" action="/login">
<label>Your name <input name="user" required maxlength="80"></label>
<button>Log in</button></form>`;

const page = (visits, user) => `<!DOCTYPE html>
<html lang="en">
<title>mod_bsession: a proxied service</title>
<meta name="viewport" content="width=device-width">
<style>
body { max-width: 34rem; margin: 15vh auto 0; padding: 0 1.5rem; font: 1.125rem/1.6 system-ui; }
.number { color: #a8441f; font-size: 3em; }
</style>
<h1><span class="number">${visits}</span> visits</h1>
${user === null ? LOGIN : HELLO(user)}
<p>This is Node, behind mod_proxy_http.
`;

function home(request) {
    const data = session(request);
    const visits = Number(data.get('visits')) + 1;
    return [200, { 'BSession-Incr': 'visits=1' }, page(visits, data.get('user'))];
}

function login(request, form) {
    const user = form.get('user');
    if (!user) {
        return [400, {}, 'A login needs a name.'];
    }
    return [303, {
        Location: '/',
        'BSession-Set': new URLSearchParams({ user }).toString(),
        'BSession-Rotate': '1',
    }, ''];
}

function logout() {
    return [303, { Location: '/', 'BSession-Destroy': '1' }, ''];
}

const ROUTES = new Map([
    ['/', { GET: home, HEAD: home }],
    ['/login', { POST: login }],
    ['/logout', { POST: logout }],
]);

function answer(request, body) {
    const route = ROUTES.get(request.url);
    if (!route) {
        return [404, {}, 'There is no such page.'];
    }
    const handle = route[request.method];
    return handle ? handle(request, new URLSearchParams(body))
        : [405, { Allow: Object.keys(route).join(', ') }, ''];
}

http.createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('latin1')) {
        body += part;
    }
    const [status, headers, text] = answer(request, body);
    response.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', ...headers });
    response.end(text);
}).listen(process.argv[2]);
