package squid

// Proxy is the former name of Config.
type Proxy = Config
