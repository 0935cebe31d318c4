@echo off
rem Gives the Docker engine of this machine its certificates for TLS, from the CD that this script is on.
rem It may be run again at any time. Messages of the system are not read, so its language does not matter;
rem groups are named by their identifiers (S-1-5-18: SYSTEM, S-1-5-32-544: Administrators).
setlocal EnableExtensions DisableDelayedExpansion
rem No program is taken from whatever folder this is called in.
set "NoDefaultCurrentDirectoryInExePath=1"
set "cd_drive=%~dp0"
set "folder=%ProgramData%\docker\certs.d"
set "config=%ProgramData%\docker\config"
set "service=HKLM\SYSTEM\CurrentControlSet\Services\docker"
set "made="

rem Only administrators may read the settings of the local service's account (S-1-5-19).
reg query HKU\S-1-5-19 >nul 2>&1
if errorlevel 1 (
    echo Run this as an administrator: right-click it, then "Run as administrator". Nothing was changed.
    exit /b 5
)

for %%P in (powershell.exe) do if "%%~$PATH:P"=="" goto plain
powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "%cd_drive%configure_tls.ps1"
exit /b %errorlevel%

:plain
reg query "%service%" >nul 2>&1
if errorlevel 1 (
    echo There is no service named docker on this machine: install the Docker engine first. Nothing was changed.
    exit /b 2
)
reg query "%service%" /v ImagePath 2>nul | find " -H " >nul
if not errorlevel 1 goto hosts
reg query "%service%" /v ImagePath 2>nul | find " --host" >nul
if not errorlevel 1 goto hosts

rem Without PowerShell a daemon.json cannot be merged: one that somebody else wrote is kept.
if not exist "%config%\daemon.json" goto configure
for %%A in ("%cd_drive%daemon.json") do for %%B in ("%config%\daemon.json") do if not "%%~zA"=="%%~zB" goto foreign
fc /b "%cd_drive%daemon.json" "%config%\daemon.json" >nul 2>&1
if errorlevel 1 goto foreign
goto configure

:foreign
if /i "%~1"=="keep" goto configure
echo There is a "%config%\daemon.json" already, and it is kept as it is.
echo Add these to it, then run this script again with the argument "keep":
type "%cd_drive%daemon.json"
echo Nothing was changed.
exit /b 3

:hosts
echo The service docker names its hosts on its command line, where daemon.json cannot name others:
reg query "%service%" /v ImagePath
echo Remove -H there (sc config docker binPath= ...), then run this again. Nothing was changed.
exit /b 2

:configure
if not exist "%folder%" mkdir "%folder%"
if not exist "%folder%" goto failed
if not exist "%config%" mkdir "%config%"
if not exist "%config%" goto failed
xcopy /Y /R /Q "%cd_drive%server\ca.pem" "%folder%" >nul
if errorlevel 1 goto failed
xcopy /Y /R /Q "%cd_drive%server\server-cert.pem" "%folder%" >nul
if errorlevel 1 goto failed
xcopy /Y /R /Q "%cd_drive%server\server-key.pem" "%folder%" >nul
if errorlevel 1 goto failed
icacls "%folder%\server-key.pem" /inheritance:r /grant:r "*S-1-5-18:F" "*S-1-5-32-544:F" >nul
if errorlevel 1 goto failed
netsh advfirewall firewall delete rule name="Docker TLS (Roadstead)" >nul 2>&1
netsh advfirewall firewall add rule name="Docker TLS (Roadstead)" dir=in action=allow protocol=TCP localport=@PORT@ remoteip=@SOURCES@ >nul
if errorlevel 1 goto failed
if exist "%config%\daemon.json" goto restart
xcopy /Y /R /Q "%cd_drive%daemon.json" "%config%" >nul
if errorlevel 1 goto failed
set "made=yes"

:restart
net stop docker /y >nul 2>&1
net start docker >nul
if errorlevel 1 goto undone
echo Docker listens with TLS at port @PORT@ now.
exit /b 0

:undone
if not defined made goto failed
del "%config%\daemon.json"
net start docker >nul 2>&1
echo Docker does not start with the new "%config%\daemon.json": it was removed again.
exit /b 1

:failed
echo That did not work: mend what the lines above name, then run this again.
exit /b 1
