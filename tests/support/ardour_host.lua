-- A headless Ardour that is driven by files: ardour7-lua ardour_host.lua SESSION_FOLDER COMMAND_FOLDER
-- Each COMMAND_FOLDER/N.lua is run in order; "ok" or "ERR" and what it returns go to COMMAND_FOLDER/N.out.
local folder, commands = arg[1], arg[2] .. "/"
AudioEngine:set_backend("JACK", "ardour", "")
create_session(folder, "s", 48000)
assert(Session, "no session")
io.stdout:setvbuf("no")
print("SESSION READY")
local number, go = 1, true
function leave() go = false end
while go do
  local file = io.open(commands .. number .. ".lua")
  if file then
    local text = file:read("*a"); file:close()
    local run, fault = load(text, "command " .. number)
    local ok, result = false, fault
    if run then ok, result = pcall(run) end
    local out = io.open(commands .. number .. ".tmp", "w")
    out:write((ok and "ok" or "ERR") .. "\n" .. tostring(result) .. "\n"); out:close()
    os.rename(commands .. number .. ".tmp", commands .. number .. ".out")
    number = number + 1
    collectgarbage()
  else
    sleep(0.02)
  end
end
Session:save_state("", false, false, false, false, false)
Session:close()
print("CLOSED")
