<?php
// clients.php CLIENT URL: one request by a PHP client in its default configuration. The
// status is 1 if PHP's own clients fail: these only warn.

[, $client, $url] = $argv;

switch ($client) {
    case 'curl':
        $connection = curl_init($url);
        curl_setopt($connection, CURLOPT_TIMEOUT, 20);
        exit(curl_exec($connection) === false ? 1 : 0);
    case 'streams':
        exit(file_get_contents($url) === false ? 1 : 0);
    case 'guzzle':
        require 'GuzzleHttp/autoload.php';
        (new GuzzleHttp\Client())->get($url);
        break;
    case 'symfony':
        require 'Symfony/Component/HttpClient/autoload.php';
        Symfony\Component\HttpClient\HttpClient::create()->request('GET', $url)->getContent();
        break;
    default:
        exit("no client $client\n");
}
