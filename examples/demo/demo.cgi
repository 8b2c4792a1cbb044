#!/usr/bin/perl
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# The demo's program: bare Perl, no library. What it knows of the visitor it reads from the
# variables that BSessionEnv sets; what it wants remembered it says in BSession-* response headers.
# What it looks like is in page.pl and style.css.

use strict;
use warnings;

our ($here) = $0 =~ m{\A(.*)/};
require "$here/page.pl";

my $LONGEST_VALUE = 2000;       # bytes; urlencoded three times that, and a header line has 8,000

# Keys that the page itself keeps, and the visitor may not set: the number of views, the name given
# at the login, and what the next page is to say.
my %OURS = map { $_ => 1 } qw(visits user notice);
sub is_ours { return $OURS{$_[0]} }

# ---- the session: these two are all there is to it -------------------------------------------

# A key as it stands in the environment, or undef.
sub remembered { return $ENV{"BSESSION_$_[0]"} }

# The response headers that change the session, from pairs of a verb and its argument.
sub session_headers {
    my @said = @_;
    my $lines = '';
    while (my ($verb, $argument) = splice @said, 0, 2) {
        $lines .= "BSession-$verb: $argument\n";
    }
    return $lines;
}

# ---- text -------------------------------------------------------------------------------------

sub urldecode {
    my ($text, $plus_is_space) = @_;
    $text =~ tr/+/ / if $plus_is_space;
    $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge;
    return $text;
}

sub urlencode {
    my ($text) = @_;
    $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge;
    return $text;
}

# key => value, ... as BSession-Set takes them
sub pairs {
    my @pairs = @_;
    my @said;
    while (my ($key, $value) = splice @pairs, 0, 2) {
        push @said, urlencode($key) . '=' . urlencode($value);
    }
    return join '&', @said;
}

sub is_utf8 { my ($text) = @_; return utf8::decode($text) }

# NULs apart, an environment takes any value; a key must make the name of a variable.
sub trouble_with_key {
    my ($key) = @_;
    return 'A key here is 1 to 64 letters, digits and underscores, and begins with a letter.'
        if $key !~ /\A[A-Za-z][A-Za-z0-9_]{0,63}\z/;
    return "This page keeps the key $key for itself; choose another one." if $OURS{$key};
    return;
}

sub trouble_with_value {
    my ($value) = @_;
    return "A value here is at most $LONGEST_VALUE bytes." if length $value > $LONGEST_VALUE;
    return 'A value here is UTF-8 without NUL.' if $value =~ /\0/ || !is_utf8($value);
    return;
}

# ---- answers ----------------------------------------------------------------------------------

my %PHRASE = (
    200 => 'OK', 303 => 'See Other', 400 => 'Bad Request', 403 => 'Forbidden', 404 => 'Not Found',
    405 => 'Method Not Allowed',
);

sub answer {
    my ($status, $type, $headers, $body) = @_;
    binmode STDOUT;
    print "Status: $status $PHRASE{$status}\n",
        "Content-Type: $type; charset=utf-8\n",
        "X-Content-Type-Options: nosniff\n",
        $headers, "\n", $body;
    exit;
}

# For people with a shell: a line of text.
sub say_line {
    my ($status, $line, @said) = @_;
    answer($status, 'text/plain', session_headers(@said), "$line\n");
}

# After a change the browser is sent elsewhere, so that loading again changes nothing again.
sub go_to {
    my ($where, @said) = @_;
    answer(303, 'text/plain', "Location: $where\n" . session_headers(@said), '');
}

# ---- requests ---------------------------------------------------------------------------------

# Another site's page may make a visitor's browser ask, and it may even send the cookie along, but
# it says whose idea it was. What is no browser says nothing, and is led by nobody.
sub refuse_other_sites {
    my $site   = $ENV{HTTP_SEC_FETCH_SITE};
    my $origin = $ENV{HTTP_ORIGIN};
    my $ours   = defined $site   ? $site eq 'same-origin' || $site eq 'none'
               : defined $origin ? $origin =~ m{\Ahttps?://\Q$ENV{HTTP_HOST}\E\z}
               :                   1;
    say_line(403, 'That request came from another site.') unless $ours;
}

# The fields of a form. httpd.conf bounds what is read.
sub posted {
    my %field;
    my $body = '';
    binmode STDIN;
    read STDIN, $body, $ENV{CONTENT_LENGTH} || 0;
    for my $pair (split /&/, $body) {
        my ($name, $value) = map { urldecode($_, 1) } split /=/, $pair, 2;
        $field{$name} = $value if defined $name;
    }
    return %field;
}

# /set/<key>/<value>
sub route_set {
    my ($key, $value) = @_;
    refuse_other_sites();
    my $trouble = trouble_with_key($key) || trouble_with_value($value);
    say_line(400, $trouble) if $trouble;
    say_line(200, "$key = $value", Set => pairs($key => $value));
}

# /get/<key>
sub route_get {
    my ($key) = @_;
    my $value = remembered($key);
    say_line(404, "There is no $key.") if !defined $value;
    say_line(200, $value);
}

my %POST = (
    set => sub {
        my (%field) = @_;
        my ($key, $value) = map { $_ // '' } @field{qw(key value)};
        my $trouble = trouble_with_key($key) || trouble_with_value($value);
        page(400, $trouble, %field) if $trouble;
        go_to('/', Set => pairs($key => $value, notice => "set $key"));
    },
    drop => sub {
        my (%field) = @_;
        my $key     = $field{key} // '';
        my $trouble = trouble_with_key($key);
        page(400, $trouble) if $trouble;
        go_to('/', Unset => urlencode($key), Set => pairs(notice => "drop $key"));
    },
    clear => sub { go_to('/', Clear => 1, Set => pairs(notice => 'clear')) },
    login => sub {
        my (%field) = @_;
        my $user = $field{user} // '';
        $user =~ s/\A\s+|\s+\z//g;
        my $trouble = $user eq '' ? 'A login needs a name; any will do.'
                                  : trouble_with_value($user);
        page(400, $trouble) if $trouble;
        my $mark = $ENV{DEMO_COOKIE_MARK} // '';
        go_to('/', Set => pairs(user => $user, notice => "login $mark"), Rotate => 1);
    },
    logout => sub { go_to('/bye', Destroy => 1) },
);

sub main {
    my ($path) = split /\?/, $ENV{REQUEST_URI} // '/', 2;
    my $method = $ENV{REQUEST_METHOD} // 'GET';

    # The address as it was sent, not PATH_INFO: a value may hold an encoded slash.
    if ($method eq 'GET' || $method eq 'HEAD') {
        route_set(urldecode($1), urldecode($2)) if $path =~ m{\A/set/([^/]*)/(.*)\z}s;
        route_get(urldecode($1)) if $path =~ m{\A/get/([^/]*)\z};
        page(200) if $path eq '/';
        bye()     if $path eq '/bye';
        say_line(404, 'There is no such page.');
    }
    my %field = posted();           # first: httpd takes an answer to half a question for a failure
    my $do    = $method eq 'POST' && $path =~ m{\A/([a-z]+)\z} && $POST{$1};
    say_line(405, 'That can be asked for with GET only.') unless $do;
    refuse_other_sites();
    $do->(%field);
}

main();
