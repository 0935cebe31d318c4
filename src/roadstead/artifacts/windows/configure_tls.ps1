# Gives the Docker engine of this machine its certificates for TLS, from the CD that this script is on, and merges what
# daemon.json has to say for that into one that is there. It may be run again at any time.
# For Windows PowerShell 5.1 and later; configure_tls.cmd calls it.
$ErrorActionPreference = 'Stop'
$rule = 'Docker TLS (Roadstead)'
$port = '@PORT@'
$sources = '@SOURCES@'
$source = Split-Path -Parent $MyInvocation.MyCommand.Path
$docker = Join-Path $env:ProgramData 'docker'
$folder = Join-Path $docker 'certs.d'
$config = Join-Path $docker 'config'
$file = Join-Path $config 'daemon.json'
$former = "$file.before-tls"
$plainText = New-Object System.Text.UTF8Encoding $false

# What daemon.json says; an empty file says nothing.
function Read-Settings($path) {
    $text = [System.IO.File]::ReadAllText($path)
    if (-not $text.Trim()) { return New-Object PSObject }
    $said = ConvertFrom-Json $text
    if ($said -isnot [System.Management.Automation.PSCustomObject]) { throw 'it is no JSON object' }
    $said
}

# By assignment, since Windows PowerShell writes lists that went through a cmdlet as objects with a count.
function Set-Setting($settings, $name, $value) {
    if (-not $settings.PSObject.Properties[$name]) {
        $settings | Add-Member -MemberType NoteProperty -Name $name -Value $null
    }
    $settings.$name = $value
}

# Whether the engine would listen there a second time beside ours: it would not start then.
function Test-Same($address) {
    if ($address -match "^tcp://.*:$port/?$") { return $true }
    $port -eq '2376' -and $address -match '^tcp://([^:/]*|\[[^\]]*\])/?$'
}

# The hosts of daemon.json and those on the service's command line exclude each other: the engine would not start.
$service = Get-CimInstance Win32_Service -Filter "Name='docker'"
if (-not $service) {
    Write-Host 'There is no service named docker on this machine: install the Docker engine first. Nothing was changed.'
    exit 2
}
if ($service.PathName -cmatch '\s(-H|--host)') {
    Write-Host 'The service docker names its hosts on its command line, where daemon.json cannot name others:'
    Write-Host "  $($service.PathName)"
    Write-Host 'Remove -H there (sc.exe config docker binPath= ...), then run this again. Nothing was changed.'
    exit 2
}

$wanted = Read-Settings (Join-Path $source 'daemon.json')
$merged = New-Object PSObject
$hadFile = Test-Path $file
if ($hadFile) {
    try { $merged = Read-Settings $file } catch {
        Write-Host "$file is not valid: $($_.Exception.Message)"
        Write-Host 'Mend or remove it, then run this again. Nothing was changed.'
        exit 3
    }
}
$others = @()
if ($merged.PSObject.Properties['hosts']) { $others = @($merged.hosts | Where-Object { $_ -and -not (Test-Same $_) }) }
# The pipe has two spellings.
$hasPipe = @($others | Where-Object { $_ -match '^npipe:(//)?(//\./pipe/docker_engine)?$' }).Count -gt 0
$ours = @($wanted.hosts | Where-Object { -not ($hasPipe -and $_ -eq 'npipe://') })
foreach ($property in $wanted.PSObject.Properties) { Set-Setting $merged $property.Name $property.Value }
Set-Setting $merged 'hosts' ([string[]]@(@($ours) + @($others) | Select-Object -Unique))
# It would contradict tlsverify: the engine refuses to start with both.
$merged.PSObject.Properties.Remove('tls')

New-Item -ItemType Directory -Force -Path $folder, $config | Out-Null
foreach ($name in 'ca.pem', 'server-cert.pem', 'server-key.pem') {
    $target = Join-Path $folder $name
    [System.IO.File]::WriteAllBytes($target, [System.IO.File]::ReadAllBytes((Join-Path $source "server\$name")))
}
# By their identifiers, since the names differ between languages: SYSTEM and Administrators.
& icacls.exe (Join-Path $folder 'server-key.pem') /inheritance:r /grant:r '*S-1-5-18:F' '*S-1-5-32-544:F' | Out-Null
if ($LASTEXITCODE -ne 0) { throw 'The rights of server-key.pem could not be set.' }

& netsh.exe advfirewall firewall delete rule "name=$rule" | Out-Null
& netsh.exe advfirewall firewall add rule "name=$rule" dir=in action=allow protocol=TCP "localport=$port" `
    "remoteip=$sources" | Out-Null
if ($LASTEXITCODE -ne 0) { throw 'The rule of the firewall could not be added.' }

if ($hadFile -and -not (Test-Path $former)) { Copy-Item $file $former }
$before = if ($hadFile) { [System.IO.File]::ReadAllText($file) } else { $null }
[System.IO.File]::WriteAllText($file, (($merged | ConvertTo-Json -Depth 32) + "`r`n"), $plainText)
try {
    Restart-Service docker -Force
} catch {
    Write-Host "Docker does not start with the new configuration: $($_.Exception.Message)"
    if ($hadFile) { [System.IO.File]::WriteAllText($file, $before, $plainText) } else { Remove-Item $file }
    Start-Service docker
    Write-Host 'The former configuration is in place again, and Docker runs with it.'
    exit 1
}
Write-Host "Docker listens with TLS at port $port now."
exit 0
