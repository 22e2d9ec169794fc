%% clients.escript URL: one request by httpc of Erlang/OTP.
main([Url]) ->
    {ok, _} = application:ensure_all_started(inets),
    {ok, _} = application:ensure_all_started(ssl),
    Options = [{timeout, 20000}, {ssl, [{cacertfile, "/etc/ssl/certs/ca-certificates.crt"}]}],
    io:format("~p~n", [httpc:request(get, {Url, []}, Options, [])]).
