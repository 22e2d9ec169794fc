<?php
// clients.php CLIENT URL: one request by a PHP client in its default configuration.

[, $client, $url] = $argv;

switch ($client) {
    case 'curl':
        $connection = curl_init($url);
        curl_setopt($connection, CURLOPT_TIMEOUT, 20);
        curl_exec($connection);
        break;
    case 'streams':
        file_get_contents($url);
        break;
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
