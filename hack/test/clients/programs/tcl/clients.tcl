# clients.tcl URL: one request by Tcl's http package, with TLS of tcltls.
package require http
package require tls

http::register https 443 [list ::tls::socket -autoservername true]
http::cleanup [http::geturl [lindex $argv 0] -timeout 20000]
