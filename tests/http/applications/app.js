// As a server of its own, behind mod_proxy_http; see applications.py.
'use strict';

const http = require('http');
const querystring = require('querystring');

const hex = (text) => (text === undefined ? null : Buffer.from(text, 'latin1').toString('hex'));

// URLSearchParams makes text of what it decodes, so it is no way to have bytes as they are.
function bytesOf(data, key) {
    for (const pair of (data || '').split('&')) {
        const [name, value = ''] = pair.split('=');
        if (decodeURIComponent(name) === key) {
            return querystring.unescapeBuffer(value.replace(/\+/g, ' ')).toString('hex');
        }
    }
    return null;
}

const encode = (put) => put.replace(/../g, '%$&');

http.createServer((request, response) => {
    const query = new URL(request.url, 'http://localhost').searchParams;
    const key = query.get('k') || '';
    const data = request.headers['bsession-data'];
    const lines = (query.get('say') || '').split('\n').filter((line) => line);
    if (query.has('put')) {
        lines.push(`BSession-Set: ${encodeURIComponent(key)}=${encode(query.get('put'))}`);
    }
    if (query.has('long')) {
        lines.push(`BSession-Set: ${key}=${'x'.repeat(Number(query.get('long')))}`);
    }
    response.statusCode = Number(query.get('status') || 200);
    response.setHeader('Content-Type', 'application/json');
    for (const line of lines) {
        const colon = line.indexOf(': ');
        response.appendHeader(line.slice(0, colon), line.slice(colon + 2));
    }
    response.end(JSON.stringify({
        value: bytesOf(data, key),
        text: new URLSearchParams(data).get(key),
        cookie: hex(request.headers.cookie),
        headers: Object.keys(request.headers).filter((name) => name.startsWith('bs')),
    }));
}).listen(process.argv[2]);
