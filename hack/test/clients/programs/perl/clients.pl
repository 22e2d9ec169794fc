# clients.pl CLIENT URL: one request by a Perl client in its default configuration.
use strict;
use warnings;

my ( $client, $url ) = @ARGV;

my %clients = (
    'lwp' => sub {
        require LWP::UserAgent;
        print LWP::UserAgent->new->get($url)->status_line;
    },
    'http-tiny' => sub {
        require HTTP::Tiny;
        print HTTP::Tiny->new->get($url)->{content};
    },
    'mojo' => sub {
        require Mojo::UserAgent;
        print Mojo::UserAgent->new->get($url)->result->body;
    },
);

$clients{$client}->();
