# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# How the demo looks: HTML from what the session holds. Part of demo.cgi, which requires it.

use strict;
use warnings;

# For HTML, as text or in a quoted attribute. Control characters get the picture Unicode has of
# them.
sub html {
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;', "'" => '&#39;');
    $text =~ s/([&<>"'])/$entity{$1}/g;
    $text =~ s/([\x00-\x08\x0b-\x1f])/sprintf '&#x%X;', 0x2400 + ord $1/ge;
    $text =~ s/\x7f/&#x2421;/g;
    return $text;
}

# Where a text is only shown in passing.
sub shortened {
    my ($text, $longest) = @_;
    utf8::decode($text);
    $text = substr($text, 0, $longest) . "\x{2026}" if length $text > $longest;
    utf8::encode($text);
    return $text;
}

sub style {
    open my $file, '<', "$main::here/style.css" or die "style.css: $!";
    local $/ = undef;
    return scalar <$file>;
}

sub document {
    my ($status, $title, $headers, $body) = @_;
    my $style = style();
    $headers .= "Referrer-Policy: same-origin\nContent-Security-Policy: default-src 'none'; "
        . "style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; "
        . "frame-ancestors 'none'\n";
    answer($status, 'text/html', $headers, <<"HTML");
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
$style</style>
</head>
<body>
<header><a href="/">mod_bsession</a> <span>sessions for everything behind httpd</span></header>
<main>
$body
</main>
<footer><p>This page is a CGI script in bare Perl, <code>examples/demo/demo.cgi</code>. The session
is httpd&rsquo;s.</p></footer>
</body>
</html>
HTML
}

# What the visitor has had remembered: [key, value], by name.
sub their_keys {
    my @names = sort grep { !is_ours($_) } map { /\ABSESSION_(.+)\z/s ? $1 : () } keys %ENV;
    return map { [$_, remembered($_)] } @names;
}

# One form that posts to an address, around some controls.
sub form {
    my ($to, $class, $controls) = @_;
    return qq(<form class="$class" method="post" action="/$to">$controls</form>);
}

sub header_lines { return '<pre><code>' . html(join "\n", @_) . '</code></pre>' }

# What the request before this one did; it left that in the session.
sub notice {
    my ($did, $about) = split / /, remembered('notice') // '', 2;
    return '' if !defined $did;
    $about //= '';
    if ($did eq 'set') {
        my $line = 'BSession-Set: ' . pairs($about => shortened(remembered($about) // '', 40));
        return done('Remembered.', "The script answered your form with one header line:", $line);
    }
    return done('Dropped.', 'The key is gone from the record.', "BSession-Unset: $about")
        if $did eq 'drop';
    return done('Everything dropped.', 'The session itself stays, empty; its cookie is the same.',
        'BSession-Clear: 1') if $did eq 'clear';
    return '' if $did ne 'login';
    my $now = $ENV{DEMO_COOKIE_MARK} // '';
    my $was = $about eq '' ? 'none yet' : $about;
    return done('Logged in.', "The session is the same, its cookie is new: its fingerprint was "
        . '<code>' . html($was) . '</code> and is <code>' . html($now) . '</code>. The old cookie '
        . 'opens nothing any more, whoever else may have known it.',
        'BSession-Set: ' . pairs(user => shortened(remembered('user') // '', 40)),
        'BSession-Rotate: 1');
}

sub done {
    my ($what, $how, @lines) = @_;
    return qq(<div class="notice" role="status"><p><strong>$what</strong> $how</p>)
        . header_lines(@lines) . '</div>';
}

sub hero {
    my ($number, $words) = @_;
    return qq(<h1 class="hero"><span class="number">$number</span> <span>$words</span></h1>);
}

sub visits {
    my ($visits) = @_;
    return hero($visits, $visits == 1
        ? 'visit, the first. Load the page again: if the number stays, your browser keeps no '
          . 'cookies.'
        : 'visits to this page. Another browser begins at 1, and so does whoever sends no cookie.');
}

sub section {
    my ($id, $title, $body) = @_;
    return qq(<section aria-labelledby="$id"><h2 id="$id">$title</h2>$body</section>);
}

sub key_row {
    my ($key, $value) = map { html($_) } @_;
    $value = '<i>empty</i>' if $value eq '';
    return qq(<tr><th scope="row">$key</th><td>$value</td><td>)
        . form('drop', '', qq(<input type="hidden" name="key" value="$key">)
            . qq(<button class="quiet" aria-label="Drop $key">Drop</button>))
        . "</td></tr>\n";
}

sub keys_section {
    my (%field) = @_;
    my @keys  = their_keys();
    my $table = @keys
        ? '<table><caption class="hidden">Keys and their values</caption><col class="key"><col>'
          . '<col class="drop"><tbody>' . join('', map { key_row(@$_) } @keys) . '</tbody></table>'
        : '<p class="soft">Nothing of yours yet.</p>';
    my ($key, $value) = map { html($_ // '') } @field{qw(key value)};
    my $set = form('set', 'row pair',
        qq(<label>Key <input name="key" value="$key" required maxlength="64" autocomplete="off" )
        . qq(autocapitalize="none" spellcheck="false" pattern="[A-Za-z][A-Za-z0-9_]*" )
        . qq(title="letters, digits and underscores, beginning with a letter"></label>)
        . qq(<label>Value <input name="value" value="$value" maxlength="2000" )
        . qq(autocomplete="off"></label><button>Remember</button>));
    my $clear = @keys
        ? form('clear', 'after', '<button class="quiet">Drop everything</button>') : '';
    return section('keys', 'What it remembers', $table . $set . $clear);
}

sub login_section {
    my $user = remembered('user');
    return section('who', 'Who you are', defined $user
        ? '<p>You are <strong>' . html($user) . '</strong>. Logging out destroys the session: the '
          . 'record is gone from the store before you see the answer.</p>'
          . form('logout', '', '<button>Log out</button>')
        : '<p>Logging in keeps what is remembered and replaces the cookie, so that nobody who knew '
          . 'the old one is logged in with you.</p>'
          . form('login', 'row', '<label>Name <input name="user" required '
              . 'maxlength="100" autocomplete="off"></label><button>Log in</button>'));
}

sub facts_section {
    return section('facts', 'The session', '<p>None yet. It begins with this answer, because the '
        . 'script counts your visit; who only reads gets none.</p>') if !defined $ENV{BSESSION};
    my @facts = (
        ['Record',      '<code>' . html($ENV{BSESSION}) . '</code>'],
        ['Cookie',      '<code>' . html($ENV{DEMO_COOKIE_MARK} // '') . '</code>'],
        ['Lives until', clock($ENV{BS_EXPIRES} // 0) . ' if not used'],
    );
    my $list = join '', map { "<div><dt>$_->[0]</dt><dd>$_->[1]</dd></div>" } @facts;
    return section('facts', 'The session', "<dl>$list</dl>"
        . '<p class="small">The record&rsquo;s tag may be seen by anyone: it opens nothing. Of the '
        . 'cookie this is a fingerprint; the script never sees it.</p>');
}

sub clock {
    my ($seconds) = @_;
    my (undef, $minute, $hour) = gmtime $seconds;
    return sprintf '%02d:%02d UTC', $hour, $minute;
}

sub said_section {
    my @said = @_;
    return section('said', 'What the script said', header_lines(split /\n/, session_headers(@said))
        . '<p class="small">httpd took this from the answer&rsquo;s headers, saved the change, and '
        . 'did not pass it on to you.</p>');
}

sub shell_section {
    my $here = 'http://' . ($ENV{HTTP_HOST} // 'localhost');
    return section('shell', 'From a shell',
        header_lines("curl -c jar $here/set/color/blue", "curl -b jar $here/get/color"));
}

sub page {
    my ($status, $trouble, %field) = @_;
    my @said = $trouble ? ()
        : ((defined remembered('notice') ? (Unset => 'notice') : ()), Incr => 'visits=1');
    my $visits = (remembered('visits') || 0) + ($trouble ? 0 : 1);
    my $notice = $trouble
        ? '<div class="notice" role="alert"><p><strong>That did not work.</strong> '
          . html($trouble) . '</p></div>'
        : notice();
    document($status, 'mod_bsession: a demo', session_headers(@said),
        visits($visits) . $notice
        . '<div class="columns"><div>' . keys_section(%field) . login_section()
        . shell_section() . '</div><div>' . facts_section()
        . ($trouble ? '' : said_section(@said)) . '</div></div>');
}

# After the logout: a page that changes nothing, and so begins no session.
sub bye {
    my $still = defined $ENV{BSESSION};
    document(200, 'mod_bsession: good-bye', '', ($still
        ? hero(1, 'session is still here. Log out to see it go.')
        : hero(0, 'is what this server knows of you: no record, no cookie. This page only reads, '
            . 'and who only reads gets no session.'))
        . '<p><a class="button" href="/">' . ($still ? 'Back to it' : 'Begin again') . '</a></p>');
}

1;
