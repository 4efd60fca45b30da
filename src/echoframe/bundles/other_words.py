"""Words that are a letter away from the name of a sound and that mean something else: they are not corrected."""

from echoframe.bundles.word_forms import base_form

OTHER_WORDS = frozenset(
    map(
        base_form,
        """
    accidental according angler backboard baiting baking baring baseball basket battle bender bending berating
    beside bicker billowing blanket bleach booking boozing bouncer brawling breach breaching bungle bungling burrow
    candle caring cashing caster castle catering celebrating chaise chapped charger chartering chaser chaste cheery
    chilling chucking clattering clawing cleansing closest clutter coking collusion communicating communicator
    compute concerto constriction constructing conversion copper coronet county creamy crouching crowning crumbling
    demonstrating demotion derive dessert dicing dipping divert donation donors doublet dragoon drivel driver
    electron emergence exploring expulsion faculty failing faring farthing firming flattering flighty flinch foiling
    foraging forgoing fraying fright grander gravely growing guests halving hampering harvested haunting hearth
    heaving hoarse insider inspect instinct lather leavers lightening linear linger loathe marker market marking
    masking mechanic mediation medication mental midget mincing minding minting mooring morose mourning mousse
    movies narrating officer overheard palace pamper parity partly pattern pauper paying peasant persona photon
    pickling pining placer planet planner planting platter plying pocket powdery preset professor propelled propping
    protector punchy quaking racking raping really regulatory revere reversion reverting reviving revolve ridding
    rippling rising roster rotund rusting sacking sandpiper sapping saving scathing scorer seeding sepals server
    shaken shedding shimmering shingle shogun shoves shrinking shuttling sicker singlet sinning sitting skewing
    slander slashing slinging slipping slitting sloths snails snitching snoring soothing sorting spacer sparing
    spewing splicing sprigs sprinkle squinting squirming staring startling stating steals steamy steely stewing
    sticky stinger stinging stoner storing stranding striker strikingly stringy swerve switching synthesis tablet
    tacking taping tasking telephony therein thorough though throttling through tickle transporter trapping trolling
    trough tumbler turnkey urination waiter waives waning waster weathering weaves whinging whittling widows
    wielding wining winter writhing
        """.split(),
    )
)
