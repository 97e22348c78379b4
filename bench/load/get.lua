-- Asks for the URL again and again.

dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "result.lua")
