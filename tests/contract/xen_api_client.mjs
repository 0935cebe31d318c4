// Xen Orchestra's own client of a pool: connects, reads every object, waits for a change, calls a plugin, leaves.
// Arguments: the client's module, the pool's URL, the name of a VM.  The password is in XAPI_PASSWORD.
// Prints one line of JSON for each step.
const [module, url, name] = process.argv.slice(2)
const { createClient } = await import(module)

const tell = told => console.log(JSON.stringify(told))
const xapi = createClient({
  allowUnauthorized: true,
  auth: { user: 'root', password: process.env.XAPI_PASSWORD },
  debounce: 50,
  url,
})
await xapi.connect()
await xapi.objectsFetched

const objects = () => Object.values(xapi.objects.all)
const count = {}
for (const { $type } of objects()) {
  count[$type] = (count[$type] ?? 0) + 1
}
const vm = () => objects().find(object => object.$type === 'VM' && object.name_label === name)
tell({ count, pool: xapi.pool.name_label, running: vm().power_state, host: vm().$resident_on?.name_label })

while (vm().other_config.docker_ps === undefined) {
  await new Promise(resolve => xapi.objects.once('finish', resolve))
}
tell({ docker_ps: vm().other_config.docker_ps })

await vm().update_other_config({ docker_ps: null, written: 'é <&>' })
const answer = await xapi.callAsync('host.call_plugin', xapi.pool.master, 'labplug', 'slow', { t: '0.1' })
const refused = await xapi.call('host.call_plugin', xapi.pool.master, 'labplug', 'fail', {}).catch(error => error)
tell({ answer, refused: [refused.code, ...refused.params] })
await xapi.disconnect()
