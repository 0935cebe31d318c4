@echo off
rem Gives the Docker engine of this machine its certificates for TLS, from the CD that this script is on.
rem It may be run again at any time. Messages of the system are not read, so its language does not matter;
rem groups are named by their identifiers (S-1-5-18: SYSTEM, S-1-5-32-544: Administrators).
setlocal
set "cd_drive=%~dp0"
set "folder=%ProgramData%\docker\certs.d"
set "config=%ProgramData%\docker\config"

fltmc >nul 2>&1
if errorlevel 1 (
    echo Run this as an administrator: right-click it, then "Run as administrator".
    exit /b 5
)

where powershell.exe >nul 2>&1
if errorlevel 1 goto plain
powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "%cd_drive%configure_tls.ps1"
exit /b %errorlevel%

:plain
rem Without PowerShell a daemon.json cannot be merged: one that somebody else wrote is kept.
if not exist "%config%\daemon.json" goto configure
fc /b "%cd_drive%daemon.json" "%config%\daemon.json" >nul 2>&1
if not errorlevel 1 goto configure
echo There is a %config%\daemon.json already, and it is kept as it is.
echo Add these to it, then run this script again with the argument "keep":
type "%cd_drive%daemon.json"
if /i not "%~1"=="keep" exit /b 3

:configure
if not exist "%folder%" mkdir "%folder%"
if not exist "%config%" mkdir "%config%"
xcopy /Y /R /Q "%cd_drive%server\ca.pem" "%folder%" >nul || goto failed
xcopy /Y /R /Q "%cd_drive%server\server-cert.pem" "%folder%" >nul || goto failed
xcopy /Y /R /Q "%cd_drive%server\server-key.pem" "%folder%" >nul || goto failed
icacls "%folder%\server-key.pem" /inheritance:r /grant:r "*S-1-5-18:F" "*S-1-5-32-544:F" >nul || goto failed
if not exist "%config%\daemon.json" xcopy /Y /R /Q "%cd_drive%daemon.json" "%config%" >nul || goto failed
netsh advfirewall firewall delete rule name="Docker TLS (Roadstead)" >nul 2>&1
netsh advfirewall firewall add rule name="Docker TLS (Roadstead)" dir=in action=allow protocol=TCP localport=@PORT@ >nul || goto failed
net stop docker /y >nul 2>&1
net start docker >nul || goto failed
echo Docker listens with TLS at port @PORT@ now.
exit /b 0

:failed
echo That did not work. Nothing else was changed; mend what the lines above name, then run this again.
exit /b 1
