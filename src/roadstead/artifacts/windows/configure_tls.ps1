# Gives the Docker engine of this machine its certificates for TLS, from the CD that this script is on, and merges what
# daemon.json has to say for that into one that is there. It may be run again at any time.
# For Windows PowerShell 5.1 and later; configure_tls.cmd calls it.
$ErrorActionPreference = 'Stop'
$rule = 'Docker TLS (Roadstead)'
$source = Split-Path -Parent $MyInvocation.MyCommand.Path
$docker = Join-Path $env:ProgramData 'docker'
$folder = Join-Path $docker 'certs.d'
$config = Join-Path $docker 'config'
$file = Join-Path $config 'daemon.json'
$former = "$file.before-tls"
$plainText = New-Object System.Text.UTF8Encoding $false

function Read-Json($path) {
    [System.IO.File]::ReadAllText($path) | ConvertFrom-Json
}

# The hosts of daemon.json and those on the service's command line exclude each other: the engine would not start.
$service = Get-WmiObject Win32_Service -Filter "Name='docker'"
if (-not $service) {
    Write-Host 'There is no service named docker on this machine: install the Docker engine first. Nothing was changed.'
    exit 2
}
if ($service.PathName -match '\s(-H|--host)[\s=]') {
    Write-Host "The service docker names its hosts on its command line, where daemon.json cannot name others:"
    Write-Host "  $($service.PathName)"
    Write-Host 'Remove -H there (sc.exe config docker binPath= ...), then run this again. Nothing was changed.'
    exit 2
}

$wanted = Read-Json (Join-Path $source 'daemon.json')
$port = '@PORT@'
$merged = New-Object PSObject
if (Test-Path $file) {
    try { $merged = Read-Json $file } catch {
        Write-Host "$file is not valid JSON: $($_.Exception.Message)"
        Write-Host 'Mend or remove it, then run this again. Nothing was changed.'
        exit 3
    }
}
$hosts = @($wanted.hosts)
if ($merged.PSObject.Properties['hosts']) {
    $hosts += @($merged.hosts | Where-Object { $_ -notmatch "^tcp://.*:$port/?$" })
}
foreach ($property in $wanted.PSObject.Properties) {
    $merged | Add-Member -Force -MemberType NoteProperty -Name $property.Name -Value $property.Value
}
# Settings that would contradict tlsverify: the engine refuses to start with them.
$merged.PSObject.Properties.Remove('tls')
$merged | Add-Member -Force -MemberType NoteProperty -Name hosts -Value @($hosts | Select-Object -Unique)

New-Item -ItemType Directory -Force -Path $folder, $config | Out-Null
foreach ($name in 'ca.pem', 'server-cert.pem', 'server-key.pem') {
    $target = Join-Path $folder $name
    [System.IO.File]::WriteAllBytes($target, [System.IO.File]::ReadAllBytes((Join-Path $source "server\$name")))
}
# By their identifiers, since the names differ between languages: SYSTEM and Administrators.
& icacls.exe (Join-Path $folder 'server-key.pem') /inheritance:r /grant:r '*S-1-5-18:F' '*S-1-5-32-544:F' | Out-Null
if ($LASTEXITCODE -ne 0) { throw 'The rights of server-key.pem could not be set.' }

$hadFile = Test-Path $file
if ($hadFile -and -not (Test-Path $former)) { Copy-Item $file $former }
$before = if ($hadFile) { [System.IO.File]::ReadAllText($file) } else { $null }
[System.IO.File]::WriteAllText($file, (($merged | ConvertTo-Json -Depth 32) + "`r`n"), $plainText)

& netsh.exe advfirewall firewall delete rule "name=$rule" | Out-Null
& netsh.exe advfirewall firewall add rule "name=$rule" dir=in action=allow protocol=TCP "localport=$port" | Out-Null
if ($LASTEXITCODE -ne 0) { throw 'The rule of the firewall could not be added.' }

try {
    Restart-Service docker -Force
} catch {
    Write-Host "Docker does not start with the new configuration: $($_.Exception.Message)"
    if ($hadFile) { [System.IO.File]::WriteAllText($file, $before, $plainText) } else { Remove-Item $file }
    Start-Service docker
    Write-Host "The former $file is in place again, and Docker runs with it."
    exit 1
}
Write-Host "Docker listens with TLS at port $port now."
exit 0
