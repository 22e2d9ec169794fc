-- clients.lua URL: one request by LuaSocket, with TLS of LuaSec.
local url = arg[1]
local client = url:match("^https:") and require("ssl.https") or require("socket.http")
print(client.request(url))
