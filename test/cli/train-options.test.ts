/** Options of `dylora train`: made from the schema of the settings, refused by name. */
import t from 'tap'
import { parseTrainOptions, settingArguments, trainHelp } from '../../src/cli/train-options.ts'
import { recipes, TrainingSettings } from '../../src/training/settings.ts'

const required = ['--base', 'b', '--data', 'd.jsonl', '--out', 'o']

t.test(
  'defaults are the recipe `stratified` on every linear layer; another recipe is another set of defaults',
  async (t) => {
    t.match(parseTrainOptions(required), {
      resume: false,
      validation: undefined,
      settings: { method: 'dylora', maxRank: 8, update: 'all', ...recipes.stratified },
    })
    const paper = parseTrainOptions([...required, '--recipe', 'paper', '--alpha', '4'])
    t.match(paper, { settings: { ...recipes.paper, alpha: 4 } }, 'an option counts more than the recipe')
  },
)

t.test('every setting is an option, and help lists it with its default', async (t) => {
  const help = trainHelp()
  for (const name of Object.keys(TrainingSettings.shape)) {
    t.match(help, `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`)
  }
  t.match(help, /--max-rank +The highest rank \(8\)/)
  t.equal(parseTrainOptions(['--help']), null)
})

t.test('reads numbers, names and lists', async (t) => {
  const given = [
    '--max-rank',
    '16',
    '--learning-rate',
    '4e-3',
    '--target-modules',
    'q_proj,v_proj',
    '--recipe',
    'paper',
    '--update',
    'frozen',
    '--resume',
  ]
  t.match(parseTrainOptions([...required, ...given]), {
    resume: true,
    settings: { maxRank: 16, learningRate: 0.004, targetModules: ['q_proj', 'v_proj'], update: 'frozen' },
  })
  const all = parseTrainOptions([...required, '--target-modules', 'all'])
  t.equal(all?.settings.targetModules.length, 6)
})

t.test('what is wrong is named', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--base', 'b', '--data', 'd'], /--out is required/],
    [[...required, '--max-rank', '0'], /^--max-rank: /],
    [[...required, '--method', 'adapter'], /^--method: .*dylora/],
    [[...required, '--target-modules', 'q_proj,w'], /^--target-modules: /],
    [[...required, '--device', 'tpu'], /^--device: expected auto, cpu, cuda, got 'tpu'/],
    [[...required, '--device-id', 'one'], /^--device-id: expected a whole number from 0, got 'one'/],
    [[...required, '--threads', 'two'], /--threads: expected a whole number from 1, got 'two'/],
    [[...required, '--update', 'frozen'], /needs --rank-per batch, as in --recipe paper/],
    [[...required, '--early-stopping', '3'], /needs --validation and --validate-every/],
    [[...required, '--method', 'full', '--test', 't.jsonl'], /--evaluate and --test measure an adapter/],
    [[...required, '--metrics', 'blue'], /there is no metric 'blue'/],
    [[...required, '--recipe', 'papre'], /^--recipe: expected stratified or paper, got 'papre'/],
  ]
  for (const [args, message] of cases) t.throws(() => parseTrainOptions(args), { code: 'validation', message })
  t.throws(() => parseTrainOptions([...required, '--rnak', '4']), /--rnak/)
})

t.test('settings become arguments that give the same settings', async (t) => {
  const settings = TrainingSettings.parse({ steps: 7, targetModules: ['q_proj', 'v_proj'], learningRate: 1.5e-7 })
  t.same(parseTrainOptions([...required, ...settingArguments(settings)])?.settings, settings)
})
