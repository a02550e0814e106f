/** The Kubernetes manifests: against Kubernetes' schemas, against each other, and against the server that they run. */
import t from 'tap'
import { parse } from 'yaml'
import { defaultOf, documentsOf, filesIn, knownSettings, textOf, yamlOf } from '../fixtures/deployment.ts'
import { faultOf, type Manifest, patched, typeFaults } from '../fixtures/kubernetes.ts'

const directory = 'docker/kubernetes/base'
const kustomization = yamlOf(`${directory}/kustomization.yaml`) as {
  resources: string[]
  secretGenerator: { name: string; envs: string[] }[]
  images: { name: string; newTag: string }[]
}
const manifests = kustomization.resources.flatMap((file) => documentsOf(`${directory}/${file}`) as Manifest[])
const one = (kind: string, name: string): Manifest => {
  const found = manifests.find((each) => each.kind === kind && each.metadata.name === name)
  if (found === undefined) throw new RangeError(`expected ${kind} ${name}`)
  return found
}
const deployments = [one('Deployment', 'dylora-server'), one('Deployment', 'dylora-worker')]
const settings = one('ConfigMap', 'dylora-settings').data as Record<string, string>
const gpu = () => {
  const { patches } = yamlOf('docker/kubernetes/gpu/kustomization.yaml') as { patches: { patch: string }[] }
  return patched(one('Deployment', 'dylora-server'), parse(patches[0]?.patch ?? ''))
}

t.test('every file is listed, and every manifest is valid down to unknown fields', async (t) => {
  const files = filesIn(directory).map((path) => path.slice(directory.length + 1))
  const others = ['kustomization.yaml', 'secret.env.example', 'secret.env']
  t.same(files.filter((file) => !others.includes(file)).toSorted(), kustomization.resources.toSorted())
  for (const manifest of [...manifests, gpu()]) {
    t.equal(await faultOf(manifest), null, `${manifest.kind} ${manifest.metadata.name}`)
  }
  t.same(typeFaults([...manifests, gpu()]), [])
})

t.test('the checks see what is wrong', async (t) => {
  const [server] = deployments as [Manifest, Manifest]
  t.match(await faultOf({ ...server, spec: { ...server.spec, minReadySeconds: 'soon' } }), /minReadySeconds/)
  t.match(typeFaults([{ ...server, spec: { ...server.spec, replica: 2 } }]).join(), /replica\\?"' does not exist/)
  t.throws(() => patched(server, [{ op: 'replace', path: '/spec/none/at', value: 1 }]), RangeError)
})

t.test('has all that a service on a cluster needs', async (t) => {
  t.same(manifests.map(({ kind }) => kind).toSorted(), [
    'ConfigMap',
    'Deployment',
    'Deployment',
    'HorizontalPodAutoscaler',
    'Namespace',
    'NetworkPolicy',
    'NetworkPolicy',
    'NetworkPolicy',
    'PersistentVolumeClaim',
    'PodDisruptionBudget',
    'PodDisruptionBudget',
    'PrometheusRule',
    'Service',
    'ServiceMonitor',
  ])
})

t.test('every pod meets the restricted standard and writes nowhere but to its volumes', async (t) => {
  for (const { spec } of [...deployments, gpu()]) {
    const pod = spec.template.spec
    t.match(pod, {
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 10001, seccompProfile: { type: 'RuntimeDefault' } },
    })
    for (const container of pod.containers) {
      t.match(container.securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      t.ok(container.resources.requests.memory && container.resources.limits.memory)
      t.same(
        container.volumeMounts.map(({ name }: Manifest['metadata']) => name).toSorted(),
        pod.volumes.map(({ name }: Manifest['metadata']) => name).toSorted(),
      )
    }
  }
  t.match(one('Namespace', 'dylora').metadata.labels, { 'pod-security.kubernetes.io/enforce': 'restricted' })
})

t.test('what is selected carries the labels, and what is named is there', async (t) => {
  const labelsOf = ({ spec }: Manifest) => JSON.stringify(spec.template.metadata.labels)
  for (const each of deployments) t.equal(JSON.stringify(each.spec.selector.matchLabels), labelsOf(each))
  const component = (name: string) => ({ 'app.kubernetes.io/component': name })
  t.same(one('Service', 'dylora-server').spec.selector, component('server'))
  t.same(one('ServiceMonitor', 'dylora-server').spec.selector.matchLabels, component('server'))
  t.match(one('Service', 'dylora-server').metadata.labels, component('server'))
  for (const name of ['server', 'worker']) {
    t.same(one('PodDisruptionBudget', `dylora-${name}`).spec.selector.matchLabels, component(name))
  }
  const [secret] = kustomization.secretGenerator
  for (const { spec } of deployments) {
    const [container] = spec.template.spec.containers
    t.same(container.envFrom, [{ configMapRef: { name: 'dylora-settings' } }, { secretRef: { name: secret?.name } }])
    t.equal(container.image, kustomization.images[0]?.name)
    t.equal(spec.template.spec.volumes[0].persistentVolumeClaim.claimName, 'dylora-adapters')
    t.equal(container.volumeMounts[0].mountPath, settings.ADAPTERS_DIR)
  }
  t.match(one('HorizontalPodAutoscaler', 'dylora-server').spec.scaleTargetRef, { name: 'dylora-server' })
})

t.test('settings are known ones; secrets are in no manifest', async (t) => {
  const example = textOf(`${directory}/secret.env.example`)
  const secrets = [...example.matchAll(/^(\w+)=/gm)].map(([, name = '']) => name)
  t.ok(secrets.includes('DATABASE_URL'))
  t.same(
    [...Object.keys(settings), ...secrets].filter((name) => !knownSettings.has(name)),
    [],
  )
  t.notMatch(Object.keys(settings).join(' '), /KEY|TOKEN|PASSWORD|SECRET|DATABASE_URL/)
  t.match(textOf('.gitignore'), 'docker/kubernetes/*/secret.env')
})

t.test('a pod is killed only after its requests are drained', async (t) => {
  const { spec } = one('Deployment', 'dylora-server').spec.template
  const [container] = spec.containers
  const [, , script = ''] = container.lifecycle.preStop.exec.command
  const waits = Number(/, (\d+)\)$/.exec(script)?.[1]) / 1000
  t.ok(waits >= 5)
  t.equal(settings.SHUTDOWN_TIMEOUT, defaultOf('SHUTDOWN_TIMEOUT'))
  t.ok(spec.terminationGracePeriodSeconds > waits + Number(settings.SHUTDOWN_TIMEOUT))
  t.match(container, {
    startupProbe: { httpGet: { path: '/health' } },
    livenessProbe: { httpGet: { path: '/health' } },
    readinessProbe: { httpGet: { path: '/ready' } },
  })
  t.equal(String(container.ports[0].containerPort), settings.PORT)
})

t.test('scales on the queue, by metrics that prometheus-adapter gives', async (t) => {
  const { metrics } = one('HorizontalPodAutoscaler', 'dylora-server').spec
  const names = metrics.map((each: Manifest) => each.pods.metric.name)
  t.same(names, ['dylora_requests_waiting', 'dylora_requests_running'])
  const { rules } = yamlOf('docker/kubernetes/prometheus-adapter-values.yaml') as {
    rules: { custom: { seriesQuery: string }[] }
  }
  const pattern = /__name__=~"(.+?)"/.exec(rules.custom[0]?.seriesQuery ?? '')?.[1]
  for (const name of names) t.match(name, new RegExp(pattern ?? 'none'))
})

t.test('the rules of the operator are those of the compose file', async (t) => {
  const rules = ['recording', 'alerts'].flatMap(
    (name) => (yamlOf(`docker/prometheus/rules/${name}.yml`) as { groups: unknown[] }).groups,
  )
  t.same(one('PrometheusRule', 'dylora').spec.groups, rules)
})

t.test('the GPU variant asks for a GPU and insists on it', async (t) => {
  const { template, strategy } = gpu().spec
  const [container] = template.spec.containers
  t.match(container, { image: 'dylora-serve:cuda', resources: { limits: { 'nvidia.com/gpu': '1', memory: '4Gi' } } })
  t.same(container.env, [{ name: 'DEVICE', value: 'cuda' }])
  t.match(template.spec.tolerations, [{ key: 'nvidia.com/gpu' }])
  t.same(strategy.rollingUpdate, { maxUnavailable: 1, maxSurge: 0 })
})

t.test('nothing reaches a pod but what is listed', async (t) => {
  const everything = one('NetworkPolicy', 'dylora-nothing').spec
  t.same(everything, { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
  const { ingress } = one('NetworkPolicy', 'dylora-server-ingress').spec
  t.same(ingress[0].ports, [{ protocol: 'TCP', port: 'http' }])
})
