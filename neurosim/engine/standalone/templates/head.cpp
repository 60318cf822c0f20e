{# Headers that every template of the engine includes. #}
#include "ns_kernels.h"
#include "ns_shared.h"
#include "ns_versions.h"
#include "ns_events.h"
#include "ns_noise.h"
#include "ns_points.h"
#include "ns_settling.h"
#include "ns_anderson.h"
#include "network.h"
#include <algorithm>
#include <cstdlib>
