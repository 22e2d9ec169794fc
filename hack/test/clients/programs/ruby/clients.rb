# clients.rb CLIENT URL: one request by a Ruby client in its default configuration.

client, url = ARGV

case client
when 'net-http'
  require 'net/http'
  Net::HTTP.get(URI(url))
when 'faraday'
  require 'faraday'
  Faraday.get(url)
when 'httpclient'
  require 'httpclient'
  connection = HTTPClient.new
  connection.ssl_config.set_default_paths
  connection.get(url)
when 'rest-client'
  require 'rest-client'
  RestClient.get(url)
when 'excon'
  require 'excon'
  Excon.get(url)
when 'http'
  require 'http'
  HTTP.get(url).to_s
else
  abort "no client #{client}"
end
